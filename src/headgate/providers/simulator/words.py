"""What the simulator says, and how it counts: a small grammar of plain sentences and a tokenizer of its own.

The tokenizer: a token is four characters (code points), the last one of a text may be shorter. It is nobody's
vocabulary, but it is exact, costs nothing, and never counts more tokens than UTF-8 bytes.

The grammar says harmless things about travel and trade. Some words are not ASCII and one sentence in five carries an
emoji, so that whoever reads the stream meets characters of two, three and four bytes.
"""

from headgate.providers.simulator.dice import Dice

TOKEN = 4
"""Characters in a token."""

_SUBJECTS = (
    "The harbour", "A quiet square", "The old café", "The night train", "Our small team", "The market hall",
    "Every second visitor", "The museum by the river", "A first draft", "The Zürich office", "The naïve plan",
    "A short summary",
)  # fmt: skip
_VERBS = (
    "opens", "waits", "grows", "changes", "rests", "begins", "works", "travels", "wins", "returns", "improves",
    "settles",
)  # fmt: skip
_MANNERS = (
    "slowly", "with care", "before noon", "without a fuss", "in the early light", "à la carte", "for a fair price",
    "step by step", "twice a week", "as promised", "in good time", "after the rain",
)  # fmt: skip
_ENDS = (
    "and nobody is surprised", "because the numbers agree", "while the river stays calm",
    "so the rest is easy to follow", "although the señor next door disagrees", "which is all that was asked",
    "and the bill is paid in €", "until the last guest has gone",
)  # fmt: skip
_OPENINGS = ("", "", "", "In short: ", "Then again, ", "As a rule, ", "On the whole, ")
_EMOJI = ("🙂", "🌍", "🚆", "☕", "👩‍🚀", "🎉", "📈")


def count(text: str) -> int:
    """Tokens of a text.

    Example:
        >>> count(""), count("four"), count("fives")
        (0, 1, 2)
    """
    return (len(text) + TOKEN - 1) // TOKEN


def tokens(text: str) -> list[str]:
    """A text cut into its tokens.

    Example:
        >>> tokens("plain words")
        ['plai', 'n wo', 'rds']
    """
    return [text[at : at + TOKEN] for at in range(0, len(text), TOKEN)]


def sentence(dice: Dice) -> str:
    """One sentence."""
    opening = dice.pick(_OPENINGS)
    subject = dice.pick(_SUBJECTS)
    if opening:
        subject = subject[0].lower() + subject[1:] if not subject.startswith("The Z") else "the " + subject[4:]
    end = f" {dice.pick(_MANNERS)}, {dice.pick(_ENDS)}" if dice.below(2) else f" {dice.pick(_MANNERS)}"
    emoji = f" {dice.pick(_EMOJI)}" if dice.below(5) == 0 else ""
    return f"{opening}{subject} {dice.pick(_VERBS)}{end}.{emoji}"


def prose(dice: Dice, length: int) -> str:
    """Whole sentences until there are at least so many tokens, then cut to exactly that many."""
    said: list[str] = []
    left = length * TOKEN
    while left > 0:
        said.append(sentence(dice))
        left -= len(said[-1]) + 1
    return " ".join(said)[: length * TOKEN]


def talk(dice: Dice) -> str:
    """Two to four whole sentences: the answer to a question that names no length."""
    return " ".join([sentence(dice) for _ in range(dice.between(2, 4))])
