"""What the answer to a question will be: decided whole, before the first byte of it is sent.

Depends on the seed and the question alone, so that equal questions get equal answers, streamed or whole, in either
dialect. Rules:

- text: two to four sentences; a question that names a length (`about 500 words`, `2000 tokens`) gets that length, up
  to 20,000 tokens;
- a tool is called where `tool_choice` demands it (the first one allowed), or where the user's last words name it
  (`get_weather` or `get weather`);
- a schema gets an instance of it, `json_object` an object; where the user's last words say `refuse to answer`, a schema
  gets a refusal; where they are a list of items with ids, and the schema asks for one, each item gets its own entry;
- a sum (`What is 17 + 25?`) gets a number, from a model that was given a skill: the right one so often;
- reasoning costs tokens by effort, at most half of the cap; nothing of it is shown.
"""

import re
from hashlib import blake2b
from typing import Any

import msgspec

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.listed import by_item
from headgate.providers.simulator.models import REASONING
from headgate.providers.simulator.problem import invalid_schema
from headgate.providers.simulator.question import Question, Tool
from headgate.providers.simulator.schema import NoInstance, instance
from headgate.providers.simulator.settings import FaultKind
from headgate.providers.simulator.sums import result
from headgate.providers.simulator.words import count, prose, sentence, talk, tokens

_LENGTH = re.compile(r"(\d{1,6}) (words?|tokens?)\b")
_LONGEST = 20_000
_REFUSE = "refuse to answer"
_WORD = 1.5
"""Tokens in a word."""


class Said(msgspec.Struct, frozen=True):
    """One of the answers.

    Attributes:
        tokens: the text, or the arguments of the call.
        tool: what is called; None for text.
        finish: `stop`, `length`, `tool_calls` or `content_filter`.
        reasoning: tokens spent before.
        refuses: the text is a refusal.
    """

    tokens: list[str]
    tool: Tool | None
    finish: str
    reasoning: int
    refuses: bool = False

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.tokens)

    @property
    def output(self) -> int:
        """Tokens that are charged: the visible ones, the reasoning, and one for the name of a tool."""
        return len(self.tokens) + self.reasoning + (self.tool is not None)


class Plan(msgspec.Struct, frozen=True):
    """The whole answer.

    Attributes:
        answers: `n` of them.
        prompt_tokens: tokens of the question.
    """

    answers: list[Said]
    prompt_tokens: int

    @property
    def output(self) -> int:
        """Tokens of all answers, reasoning included."""
        return sum(said.output for said in self.answers)

    def usage(self, cached: int = 0, written: int = 0) -> TokenUsage:
        """What the whole answer consumes, given what the prompt cache holds and takes."""
        return TokenUsage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.output,
            cached_tokens=cached,
            cache_write_tokens=written,
            reasoning_tokens=sum(said.reasoning for said in self.answers),
        )


def plan(question: Question, seed: int, *, filtered_after: int | None = None, spoilt: FaultKind | None = None) -> Plan:
    """Decide the answer.

    Args:
        question: what was asked.
        seed: the simulator's.
        filtered_after: tokens after which the content filter ends each answer.
        spoilt: `missing_item` and `unfit` spoil what should fit a schema.

    Raises:
        Problem: 400 invalid_json_schema; no value fits the schema.
    """
    start = blake2b(f"{seed} {question.model.name}\n{question.prompt}".encode(), digest_size=16).digest()
    answers = [
        _say(question, seed, Dice(start + at.to_bytes(1, "big")), filtered_after, spoilt) for at in range(question.n)
    ]
    return Plan(answers, count(question.prompt))


def _say(question: Question, seed: int, dice: Dice, filtered_after: int | None, spoilt: FaultKind | None) -> Said:
    cap = question.cap
    reasoning = 0
    if question.effort != "none":
        least = REASONING[question.effort]
        reasoning = dice.between(least, least + least // 4)
        if cap is not None:
            reasoning = min(reasoning, cap // 2)
    tool = _tool(question)
    refuses = tool is None and question.schema is not None and _REFUSE in question.last.lower()
    if refuses:
        text = "I'm sorry, I cannot help with that."
    elif tool is not None:
        text = sentence(dice) if tool.custom else _encode(_instance(tool.schema, dice, "function", tool.name))
    elif question.schema is not None:
        text = _structured(question, seed, dice, spoilt)
    elif question.json:
        text = msgspec.json.encode({"answer": sentence(dice), "done": True}).decode()
    else:
        text = _prose(question, dice)
    said = tokens(text)
    finish = "stop" if tool is None else "tool_calls"
    left = None if cap is None else max(0, cap - reasoning - (tool is not None))
    if left is not None and len(said) > left:
        said, finish = said[:left], "length"
    if filtered_after is not None:
        said, finish = said[:filtered_after], "content_filter"
    return Said(said, tool, finish, reasoning, refuses)


def _prose(question: Question, dice: Dice) -> str:
    asked = _LENGTH.search(question.last[-2000:])
    number = None if question.skill is None else result(question.last, question.skill, dice)
    if number is not None:
        text = str(number)
    elif asked is None:
        text = talk(dice)
    else:
        length = int(asked[1]) if asked[2].startswith("token") else int(int(asked[1]) * _WORD)
        text = prose(dice, min(length, _LONGEST))
    for end in question.stop:
        text = text.partition(end)[0]
    return text


def _tool(question: Question) -> Tool | None:
    if question.mode == "none" or not question.tools:
        return None
    if question.mode == "required":
        return question.tools[0]
    words = question.last.lower()
    for tool in question.tools:
        name = tool.name.lower()
        if name in words or name.replace("_", " ") in words:
            return tool
    return None


def _structured(question: Question, seed: int, dice: Dice, spoilt: FaultKind | None) -> str:
    def say(text: str, its: Dice) -> str:
        return _prose(msgspec.structs.replace(question, last=text), its)

    value = by_item(
        question.schema,
        _instance(question.schema, dice, "response_format", "schema"),
        question.last,
        say,
        f"{seed} {question.model.name}".encode(),
        but_one=spoilt == "missing_item",
    )
    text = _encode(value)
    return text[: len(text) // 2] if spoilt == "unfit" else text


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _instance(schema: Any, dice: Dice, what: str, name: str) -> Any:
    try:
        return instance(schema, dice)
    except NoInstance as error:
        raise invalid_schema(what, name, str(error)) from None
