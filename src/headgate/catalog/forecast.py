"""What a call will consume, before anybody knows: learned from the calls before it.

Decides two figures of a call to one model. Its input is its size in bytes times the tokens per byte of the latest
calls, apart for calls that carry pictures or files inline, whose bytes say less. Its output is a quantile of the
latest answers' lengths, and never more than the request itself allows. Refuses to know what is done with them: they
are right on average and wrong each time, so whoever takes them corrects by what was really used.

The quantile is followed by stochastic approximation (Robbins and Monro, 1951) of the logarithm: a longer answer moves
it up, a shorter one down, in the proportion in which they ought to come. It remembers no answers: four numbers in all.
"""

from math import exp, log

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.caps import Caps, bounds, caps
from headgate.core.errors import BadRequestError
from headgate.core.limits import Demand
from headgate.core.upload import Upload
from headgate.core.usage import TokenUsage

TOKENS_PER_BYTE = 0.25
"""Of text and the JSON around it, before anything is known."""
TOKENS_PER_BYTE_INLINE = 0.004
"""The same where pictures or files are inline: a thousand tokens for a quarter of a megabyte."""
OUTPUT = 500
"""Tokens of an answer, before anything is known."""
QUANTILE = 0.8
"""Share of the answers that are not longer than expected. Too little is paid for later, too much is given back."""
LEAST_GAIN = 0.05
"""How far one answer moves the logarithm of the quantile once many were seen."""
FADING = 0.98
"""What a call's input weighs after the next one: half after 35 calls."""
TRUST = 500.0
"""Bytes of input that the first assumption weighs."""
MOST_TOKENS = 10**9
"""Of one call; what is beyond cannot be true."""
SURPRISE = 16
"""So many times as much as was expected is learned of one call at most: a wrong figure shall not spoil what is expected
of hundreds of calls after it, and what has really grown is followed within a few."""

_INLINE = b";base64,"
_SEMICOLON = ord(";")  # searched for first: one byte is found fifty times as quick as more of them
_SILENT = frozenset((Operation.EMBEDDINGS, Operation.MODERATIONS))
"""Operations whose answers have no tokens."""
_NO_CAPS = Caps(None, 1)


class _Ratio:
    """Tokens per byte of the latest calls."""

    __slots__ = ("bytes", "tokens")

    def __init__(self, start: float) -> None:
        self.bytes = TRUST
        self.tokens = TRUST * start


class Forecast:
    """Of one model.

    Example:
        >>> forecast = Forecast()
        >>> call = Call(id="1", operation=Operation.CHAT, model="m", started=0, day="2027-01-15",
        ...     body=Body(b'{"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}'))
        >>> forecast.expect(call)
        Demand(input=21, output=100)
        >>> for _ in range(100):
        ...     forecast.learn(call, TokenUsage(prompt_tokens=8, completion_tokens=30))
        >>> forecast.expect(call).input, 25 <= forecast.expect(call).output <= 40
        (8, True)
    """

    def __init__(self) -> None:
        self._text = _Ratio(TOKENS_PER_BYTE)
        self._inline = _Ratio(TOKENS_PER_BYTE_INLINE)
        self._output = log(OUTPUT)
        self._seen = 0

    def expect(self, call: Call) -> Demand:
        """The tokens that a call will use: its input as it is on average, its output as it is at most, mostly."""
        operation, body = call.operation, call.body
        if operation is Operation.INPUT_TOKENS:
            return Demand()
        ratio = self._ratio(body)
        tokens = round(body.size * ratio.tokens / ratio.bytes)
        if operation in _SILENT:
            return Demand(tokens)
        cap, choices = (isinstance(body, Body) and body.found.get(bounds)) or _caps(body)
        output = exp(self._output)
        return Demand(tokens, round((output if cap is None else min(output, cap)) * choices))

    def learn(self, call: Call, usage: TokenUsage) -> None:
        """Take what a call has used, as its provider reports it. What cannot be true teaches nothing."""
        used_in, used_out = usage.prompt_tokens, usage.completion_tokens
        if not (0 < used_in <= MOST_TOKENS and 0 <= used_out <= MOST_TOKENS):
            return
        body = call.body
        if size := body.size:
            ratio = self._ratio(body)
            most = SURPRISE * (TRUST + size * ratio.tokens / ratio.bytes)
            ratio.bytes = ratio.bytes * FADING + size
            ratio.tokens = ratio.tokens * FADING + (used_in if used_in < most else round(most))
        if call.operation in _SILENT or not used_out:
            return
        _, choices = (isinstance(body, Body) and body.found.get(bounds)) or _caps(body)
        said = log(max(used_out / choices, 1.0))
        seen = self._seen = self._seen + 1
        if seen == 1:
            self._output = min(said, log(SURPRISE * OUTPUT))
            return
        # The first steps are long, so that a start that is far off is left soon.
        gain = max(LEAST_GAIN, 2 / seen)
        self._output += gain * (QUANTILE - (said <= self._output)) / QUANTILE

    def _ratio(self, body: Body | Upload) -> _Ratio:
        if not isinstance(body, Body) or (_SEMICOLON in body.raw and _INLINE in body.raw):
            return self._inline
        return self._text


def _caps(body: Body | Upload) -> Caps:
    if not isinstance(body, Body):
        return _NO_CAPS
    try:
        return caps(body)
    except BadRequestError:
        # It is the door's business to say so.
        return _NO_CAPS
