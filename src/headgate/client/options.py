"""What a call may say beside its question, and how that is checked.

Decides the names and types of a method's options; refuses to know how they travel (`dialects/openai_prompt.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import msgspec

from headgate.client.picture import Picture
from headgate.core.call import NO_TAGS
from headgate.core.errors import BadRequestError
from headgate.core.wish import Wish
from headgate.gate import ask

Message = Mapping[str, Any]
"""One message of a conversation, as the chat API spells it: `{"role": …, "content": …}`."""


class Wishes(TypedDict, total=False):
    """What any call may say. All of it is optional.

    Attributes:
        tags: for the books; names are of a-z, 0-9, `_` and `-`.
        user: the end user, for the books; the provider is told where its API asks for it.
        timeout: seconds until the answer is of no use any more, retries and fallback included.
        priority: 0 to 9; 9 goes first. 5 where nobody says anything.
        idempotency_key: your name for the call, of 1 to 255 printable ASCII characters: it is made once, however often
            it is sent; whoever sends it again gets what came of it.
        cache: whether the answer may come from the past, and be kept: True, False, or as the header `x-headgate-cache`
            has it (`refresh`, `ttl=600`). The route says where nobody does.
        cache_key: keep the answer under this name, whatever the question says. It switches the cache on.
    """

    tags: Mapping[str, str] | None
    user: str | None
    timeout: float | None
    priority: int | None
    idempotency_key: str | None
    cache: bool | str | None
    cache_key: str | None


class Options(Wishes, total=False):
    """What a question in words may say, beside its prompt and what any call may say (`Wishes`).

    Attributes:
        messages: a whole conversation instead of a prompt, in the chat API's form.
        images: pictures that the prompt is about: bytes, a `pathlib.Path`, or a URL (`https:`, `data:`) as a string.
        model: whom to ask; None for the default model.
        system: what the model is told first.
        max_tokens: most output tokens, reasoning included. (Responses takes no less than 16.)
        reasoning_effort: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`.
        verbosity: `low`, `medium`, `high`.
        temperature: 0 to 2.
        top_p: 0 to 1.
        stop: texts that end the answer. Only Chat Completions has it, so that is what is asked then.
        seed: equal seeds answer alike; also of Chat Completions only.
        store: the provider keeps the answer. It does not where nothing is said.

    What a model does not take is left out, or made to fit, and named in the answer's `dropped`.
    """

    messages: Sequence[Message] | None
    images: Sequence[Picture] | None
    model: str | None
    system: str | None
    max_tokens: int | None
    reasoning_effort: str | None
    verbosity: str | None
    temperature: float | None
    top_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    store: bool | None


CHAT_ONLY = frozenset(("stop", "seed"))
"""Options that Responses does not have."""
OURS = frozenset(("tags", "timeout", "priority", "idempotency_key", "cache", "cache_key"))
"""Options that the gate keeps to itself."""


def check(given: Mapping[str, object], known: type) -> None:
    """See that options are some of those that a TypedDict names.

    Raises:
        BadRequestError: there is no such option.
    """
    names = known.__annotations__
    unknown = given.keys() - names.keys()
    if unknown:
        hint = f"There are: {', '.join(names)}."
        raise BadRequestError(f"There is no option {min(unknown)!r}.", param=min(unknown), hint=hint)


def for_the_gate(given: Wishes, part: int = 0) -> dict[str, Any]:
    """The options that the gate keeps, as `Gate.call` takes them.

    Args:
        given: what was said.
        part: which of several calls this one is that a question is split into: each has a name of its own.

    Raises:
        BadRequestError: a tag, the priority, the idempotency key or what is wanted of the cache is not allowed.
    """
    tags = given.get("tags") or NO_TAGS
    if not isinstance(tags, Mapping):
        raise BadRequestError(f"`tags` is {tags!r}, not a mapping.", param="tags", hint='Write {"team": "a"}.')
    for name, text in tags.items():
        ask.check_tag(name, text)
    priority = given.get("priority")
    if priority is not None and priority not in range(10):
        message = f"`priority` is {priority!r}; it is a whole number from 0 to 9."
        raise BadRequestError(message, param="priority", hint="9 goes first.")
    key = given.get("idempotency_key")
    if key is not None:
        if not isinstance(key, str):
            message = f"`idempotency_key` is {key!r}, not a text."
            raise BadRequestError(message, param="idempotency_key", hint="Give a UUID as text.")
        key = ask.idempotency_key(f"{key}#{part}" if part else key)
    return {
        "tags": tags,
        "timeout": given.get("timeout"),
        "priority": 5 if priority is None else priority,
        "idempotency_key": key,
        "cache": _wish(given.get("cache"), given.get("cache_key"), part),
    }


def _wish(cache: object, key: object, part: int) -> Wish | None:
    """What is wanted of the cache."""
    if cache is None and key is None:
        return None
    if not (cache is None or isinstance(cache, (bool, str))):
        hint = "Write True, False, 'refresh' or 'ttl=600'."
        raise BadRequestError(f"`cache` is {cache!r}, neither truth nor text.", param="cache", hint=hint)
    wish = ask.cache(cache) if isinstance(cache, str) else Wish(on=cache is not False)
    if key is None:
        return wish
    if not isinstance(key, str) or not key:
        message = f"`cache_key` is {key!r}, not a text."
        raise BadRequestError(message, param="cache_key", hint="Name what the answer is, as `creative:cars`.")
    return msgspec.structs.replace(wish, key=f"{key}#{part}" if part else key)
