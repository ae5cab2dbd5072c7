"""One call shape for every model: what of a request a model does not take, and the request without it.

Decides which of the two APIs spells a parameter how, which parameters do not fit what is known of a model, and what a
fitting request looks like. Refuses to know where that knowledge comes from, and whether a misfit is mended, refused or
passed on (`policies/fit.py`).

    | what is asked for                                         | what fits                                        |
    |-----------------------------------------------------------|--------------------------------------------------|
    | a parameter by its name in the other API (`max_tokens` …) | the same by its name in this one                 |
    | what only Chat Completions has (`stop`, `n`, `seed` …)    | nothing, in Responses                            |
    | `max_tokens` of a model that reasons                      | `max_completion_tokens`                          |
    | a reasoning effort of a model that does not reason        | none                                             |
    | an effort that the model does not have                    | the next lower one that it has, else its lowest  |
    | tools in chat of a model that calls none while it reasons | effort `none`; no tools where it always reasons  |
    | sampling and log probabilities of such a model            | nothing, unless the effort is `none`             |
    | whatever else the model refuses (`stop`, penalties …)     | nothing                                          |
    | more answers, or longer ones, than the model gives        | as many, or as long, as it gives                 |

Only the bytes of these fields change. A value that cannot be read is left for the provider to refuse, and so is an
effort that nobody knows: it may be new. From a fact that is not known nothing follows.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.dialects.openai_draft import Draft, flat_format, nested_format
from headgate.dialects.openai_fields import UNREADABLE

When = Literal["always", "without_reasoning", "never"]
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""All that are known, in ascending order."""
FITTED: Final = frozenset((Operation.CHAT, Operation.RESPONSES))
"""Operations whose requests can be fitted."""

_WORDS = msgspec.json.Decoder(list[str])
_LOGPROBS = "message.output_text.logprobs"
# What happens anyway. Many a model that takes nothing else takes this.
_IDLE = {
    "temperature": (b"1", b"1.0"),
    "top_p": (b"1", b"1.0"),
    "logprobs": (b"false",),
    "top_logprobs": (b"0",),
    "stop": (b"[]", b'""'),
    "presence_penalty": (b"0", b"0.0"),
    "frequency_penalty": (b"0", b"0.0"),
    "logit_bias": (b"{}",),
    "modalities": (b'["text"]',),
}


class Takes(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes by one API. As it stands here, nothing is known.

    Attributes:
        model: its name, for messages.
        efforts: reasoning efforts, ascending; empty for a model that does not reason.
        effort: the effort of a call that names none.
        sampling, logprobs: when it takes `temperature` and `top_p`, and log probabilities.
        tools: whether it calls tools.
        stop: whether it takes `stop`.
        n: most answers to one question.
        max_output: most tokens of an answer.
        refuses: further parameters that it does not take, as Chat Completions names them.
    """

    model: str
    efforts: tuple[str, ...] | None = None
    effort: str | None = None
    sampling: When = "always"
    logprobs: When = "always"
    tools: Literal["yes", "without_reasoning", "no"] = "yes"
    stop: bool = True
    n: int | None = None
    max_output: int | None = None
    refuses: frozenset[str] = frozenset()


class Misfit(NamedTuple):
    """One parameter that does not fit.

    Attributes:
        name: as the caller spelled it, with dots: `temperature`, `reasoning.effort`.
        why: in one sentence.
        value: another value would fit.
        idle: it asks for what happens anyway, as `temperature: 1` does.
    """

    name: str
    why: str
    value: bool = False
    idle: bool = False


class _Api(NamedTuple):
    """One of the two: its title, and the names that it has for what both have."""

    title: str
    cap: str
    effort: str
    verbosity: str
    format: str


_CHAT = _Api("Chat Completions", "max_completion_tokens", "reasoning_effort", "verbosity", "response_format")
_RESPONSES = _Api("Responses", "max_output_tokens", "reasoning.effort", "text.verbosity", "text.format")
_CHAT_ONLY = (
    "n", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "prediction", "modalities",
    "audio",
)  # fmt: skip


def fit(operation: Operation, body: Body, takes: Takes) -> tuple[Body, Sequence[Misfit]]:
    """Make a request fit a model.

    Args:
        operation: one of `FITTED`.
        body: the request; a JSON object.
        takes: what is known of the model.

    Returns:
        The request as it fits, and what did not; the same body where everything does.

    Raises:
        BadRequestError: a field that is looked at stands there twice, or in another spelling.

    Example:
        >>> takes = Takes(model="m", efforts=("low", "high"), effort="low", sampling="never")
        >>> fitted, misfits = fit(Operation.CHAT, Body(b'{"max_tokens": 9, "temperature": 0, "seed": 1}'), takes)
        >>> fitted.raw, [misfit.name for misfit in misfits]
        (b'{"max_completion_tokens":9,"seed": 1}', ['max_tokens', 'temperature'])
    """
    fitting = _Fitting(Draft(body), takes, chat=operation is Operation.CHAT)
    fitting.names()
    fitting.effort()
    fitting.tools()
    fitting.sampling()
    fitting.rest()
    fitting.bounds()
    return fitting.draft.body(), fitting.misfits


class _Fitting:
    """One request that is being fitted; its methods are called in their order."""

    def __init__(self, draft: Draft, takes: Takes, *, chat: bool) -> None:
        self.draft = draft
        self.misfits: list[Misfit] = []
        self._takes = takes
        self._chat = chat
        self._api = _CHAT if chat else _RESPONSES
        self._thinks: bool | None = None

    def names(self) -> None:
        """What the other API calls otherwise, or alone has."""
        api = self._api
        if self._chat:
            self._rename("max_output_tokens", api.cap)
            self._rename("reasoning.effort", api.effort)
            self._rename("text.verbosity", api.verbosity)
            self._rename("text.format", api.format, nested_format)
            absent: Sequence[str] = ("reasoning", "text")
        else:
            self._rename("max_completion_tokens", api.cap)
            self._rename("max_tokens", api.cap)
            self._rename("reasoning_effort", api.effort)
            self._rename("verbosity", api.verbosity)
            self._rename("response_format", api.format, flat_format)
            absent = _CHAT_ONLY
        for name in absent:
            self._drop(name, f"{api.title} has no `{name}`.", idle=False)
        if self._chat and (self._takes.efforts or "max_tokens" in self._takes.refuses):
            self._rename("max_tokens", api.cap, why=f"{self._takes.model} takes `{api.cap}` in place of `max_tokens`.")

    def effort(self) -> None:
        """How much it is to think, and whether it does at all."""
        takes, name = self._takes, self._api.effort
        effort, efforts = self.draft.word(name) or takes.effort, takes.efforts
        if efforts is None:
            return
        if not efforts:
            self._drop(name, f"{takes.model} does not reason: it has no `{name}`.")
            self._thinks = False
        elif effort in EFFORTS and effort not in efforts:
            lower = [one for one in efforts if one in EFFORTS[: EFFORTS.index(effort)]]
            fitting = lower[-1] if lower else efforts[0]
            self._misfit(
                name, f"{takes.model} takes {_listed(efforts)} as `{name}` in {self._api.title}, not {effort}."
            )
            self.draft.put(name, msgspec.json.encode(fitting))
            self._thinks = fitting != "none"
        elif effort is not None:
            self._thinks = effort != "none"
        elif "none" not in efforts:
            self._thinks = True

    def tools(self) -> None:
        """Models that call tools only while they do not think, or only in Responses."""
        takes, draft, name = self._takes, self.draft, self._api.effort
        if not self._chat or takes.tools == "yes" or draft.get("tools") in (b"", b"[]"):
            return
        if takes.tools == "without_reasoning":
            if not self._thinks:
                return
            if "none" in (takes.efforts or ()):
                self._misfit(name, f"{takes.model} calls tools in {self._api.title} only with `{name}` none.")
                draft.put(name, b'"none"')
                self._thinks = False
                return
        for tool in ("tools", "tool_choice", "parallel_tool_calls"):
            self._drop(tool, f"{takes.model} calls tools only in Responses: it has no `{tool}` in {self._api.title}.")

    def sampling(self) -> None:
        """What belongs to models that pick their words one by one, without thinking before."""
        takes = self._takes
        for when, names in ((takes.sampling, ("temperature", "top_p")), (takes.logprobs, ("logprobs", "top_logprobs"))):
            if when == "always" or (when == "without_reasoning" and not self._thinks):
                continue
            unless = f" unless `{self._api.effort}` is none" if when == "without_reasoning" else ""
            for name in names:
                self._drop(name, f"{takes.model} takes no `{name}`{unless}.")
            if "logprobs" in names and not self._chat:
                self._exclude(_LOGPROBS, f"{takes.model} gives no `{_LOGPROBS}`{unless}.")

    def rest(self) -> None:
        """What it refuses, whatever the effort."""
        named = {"reasoning_effort": self._api.effort, "verbosity": self._api.verbosity}
        refuses = sorted(self._takes.refuses) if self._takes.stop else ["stop", *sorted(self._takes.refuses)]
        for name in refuses:
            if name != "max_tokens":
                spelled = named.get(name, name)
                self._drop(spelled, f"{self._takes.model} takes no `{spelled}`.")

    def bounds(self) -> None:
        """How many answers it gives, and how long they may be."""
        model = self._takes.model
        self._lower("n", self._takes.n, f"{model} gives at most {{most}} answers, and `n` is {{asked}}.")
        for name in ("max_tokens", self._api.cap) if self._chat else (self._api.cap,):
            why = f"{model} writes at most {{most}} tokens, and `{name}` is {{asked}}."
            self._lower(name, self._takes.max_output, why)

    def _misfit(self, name: str, why: str) -> None:
        self.misfits.append(Misfit(name, why, value=True))

    def _drop(self, name: str, why: str, *, idle: bool = True) -> None:
        given = self.draft.get(name)
        if given:
            self.misfits.append(Misfit(name, why, idle=idle and given in _IDLE.get(name, ())))
            self.draft.put(name, None)

    def _rename(
        self, name: str, new: str, respelled: Callable[[bytes], bytes] | None = None, why: str | None = None
    ) -> None:
        """A parameter by its name here; where it stands there by both names, the right one holds."""
        given = self.draft.get(name)
        if not given:
            return
        self.misfits.append(Misfit(name, why or f"{self._api.title} has `{new}` in place of `{name}`."))
        self.draft.put(name, None)
        if not self.draft.get(new):
            self.draft.put(new, respelled(given) if respelled else given)

    def _exclude(self, word: str, why: str) -> None:
        """Take a word out of `include`."""
        try:
            words = _WORDS.decode(self.draft.get("include") or b"[]")
        except UNREADABLE:
            return
        if word in words:
            left = [one for one in words if one != word]
            self._misfit("include", why)
            self.draft.put("include", msgspec.json.encode(left) if left else None)

    def _lower(self, name: str, most: int | None, why: str) -> None:
        asked = self.draft.number(name)
        if most is not None and asked is not None and asked > most:
            self._misfit(name, why.format(most=f"{most:,}", asked=f"{asked:,}"))
            self.draft.put(name, b"%d" % most)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]
