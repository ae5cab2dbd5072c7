"""Asking for an object: what is sent, what becomes of an answer that does not fit, and an object while it grows.

Decides how a model is told what is wrong with its answer, and how often. Refuses to know what fits (`shapes.py`) and
how a call is made.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic

import msgspec
from pydantic_core import from_json

from headgate.core.attempt import Attempt
from headgate.core.call import Call
from headgate.core.errors import BadRequestError, HeadgateError, ValidationError
from headgate.core.reply import Event
from headgate.dialects.openai_refusals import refused_in
from headgate.dialects.openai_strict import VALUE
from headgate.gate.shapes import Said, Shape, T

MOST_REPAIRS = 5
_MOST_PROBLEMS = 20
_LONGEST_PROBLEM = 300


class Partial(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An object while it grows.

    Attributes:
        value: plain JSON data as far as it has come, its last text perhaps unfinished, not validated; in the last one
            the object itself.
        done: this is the last one.
    """

    value: T | Any
    done: bool = False


class Question(Generic[T]):
    """What is said to a model to get an object out of it.

    Args:
        shape: what is asked for.
        prompt: the user's words; or `options` has `messages`.
        options: of the call, in the words of the Python door, without `images`.
        images: addresses of pictures that the prompt is about.
        instruct: the model takes no schema: it is told it in words, and asked for JSON.
        repairs: how often it is told what is wrong with its answer.

    Attributes:
        prompt, options: to be sent.
        schema: to be sent; empty for any JSON object.
    """

    def __init__(
        self,
        shape: Shape[T],
        prompt: str | None,
        options: Mapping[str, Any],
        *,
        images: Sequence[str] = (),
        instruct: bool = False,
        repairs: int = 1,
    ) -> None:
        if type(repairs) is not int or not 0 <= repairs <= MOST_REPAIRS:
            message = f"`repairs` is {repairs!r}; it is a whole number from 0 to {MOST_REPAIRS}."
            raise BadRequestError(message, param="repairs")
        self.shape = shape
        self.prompt = prompt
        self.options: dict[str, Any] = {**options}
        self.schema: Mapping[str, object] = {} if instruct else shape.wire
        self.repairs = repairs
        self._images = images
        if images:
            self._say()
        if instruct:
            words = msgspec.json.encode(shape.wire["schema"]).decode()
            told = f"Answer with one JSON object that fits this JSON schema, and with nothing else:\n{words}"
            self._say(before=[{"role": "system", "content": told}])

    def _say(self, *more: Mapping[str, Any], before: Sequence[Mapping[str, Any]] = ()) -> None:
        """Say more than was asked: a conversation from now on."""
        messages: Sequence[Mapping[str, Any]] = self.options.get("messages") or ()
        if self.prompt is not None:
            content: Any = self.prompt
            if self._images:
                pictures = [{"type": "image_url", "image_url": {"url": url}} for url in self._images]
                content = [{"type": "text", "text": self.prompt}, *pictures]
            messages, self.prompt = [{"role": "user", "content": content}], None
        self.options["messages"] = [*before, *messages, *more]

    def correct(self, error: ValidationError) -> None:
        """Tell the model what is wrong with its answer."""
        problems = [f"- {problem[:_LONGEST_PROBLEM]}" for problem in error.problems[:_MOST_PROBLEMS]]
        told = "That answer does not fit what was asked for:\n" + "\n".join(problems)
        told += "\nAnswer once more with the whole JSON object, corrected, and with nothing else."
        answered = [{"role": "assistant", "content": error.text}] if error.text else []
        self._say(*answered, {"role": "user", "content": told})


Ask = Callable[[Question[T], Call | None], Awaitable[tuple[Call, Said]]]
"""Sends a question as it stands, on behalf of an earlier call if one is given; gives the call and its whole answer."""


async def answer(question: Question[T], ask: Ask[T], first: tuple[Call, Said] | None = None) -> T:
    """The object that a model gives, corrected as often as the question allows.

    Args:
        question: what is asked.
        ask: sends it.
        first: the first call and its answer, where that has come already.

    Raises:
        ValidationError: no answer fits; `attempts` are those of all calls.
        HeadgateError: a call failed.
    """
    trail: list[Attempt] = []
    parent: Call | None = None
    unfit: ValidationError | None = None
    for left in range(question.repairs, -1, -1):
        try:
            call, said = first or await ask(question, parent)
        except HeadgateError as error:
            error.attempts = (*trail, *error.attempts)
            raise error from unfit
        first, parent = None, parent or call
        trail += call.trail
        try:
            return question.shape.fit(said)
        except ValidationError as error:
            error.attempts = tuple(trail)
            # Who refuses, or was cut off, would be so again.
            if not (left and type(error) is ValidationError):
                raise
            unfit = error
            question.correct(error)
    raise AssertionError


class Draft:
    """An answer that comes piece by piece, as an object that grows.

    Args:
        wrapped: what was asked for is the property `value` of what comes.
    """

    def __init__(self, *, wrapped: bool) -> None:
        self.value: Any = None
        self._wrapped = wrapped
        self._texts: list[str] = []
        self._size = self._read = 0
        self._finish: str | None = None
        self._refusal: list[str] = []

    def grows(self, event: Event) -> bool:
        """Take an event; whether there is more of the object now."""
        self._finish = event.finish or self._finish
        if refusal := refused_in(event):
            self._refusal.append(refusal)
        if not event.text:
            return False
        self._texts.append(event.text)
        self._size += len(event.text)
        # All of it is read anew each time, so the longer it is, the rarer: 64 times in all of what has doubled.
        if self._size - self._read < self._size >> 6:
            return False
        self._read = self._size
        self._texts = ["".join(self._texts)]
        try:
            # The last number may go on.
            value = from_json(self._texts[0].rstrip("+-.0123456789"), allow_partial="trailing-strings")
        except ValueError:
            return False
        if self._wrapped:
            value = value.get(VALUE) if isinstance(value, dict) else None
        if value is None or value == self.value:
            return False
        self.value = value
        return True

    @property
    def said(self) -> Said:
        """All that came."""
        return Said("".join(self._texts), self._finish, "".join(self._refusal) or None)
