"""What of a request costs tokens: its texts, in the order of reading, and what stands around them.

Decides which fields a model gets to read and what framing, tools, pictures and files cost; refuses to count a text.
Everything is a caller's, so nothing has to be of the type that it should be: what cannot be read is passed over.

What rests on a rule that nobody published, or cannot be known from the request at all, is named in `Asked.guesses`:

- `framing`: what a model's own format puts around each message;
- `tools`: how functions are described to the model;
- `hosted`: tools that the provider runs itself, with instructions and findings of its own, which are not counted;
- `schema`: the same for the schema that an answer must fit;
- `pictures`, `files`, `sound`: what is not text, and is not all here;
- `history`: earlier answers, conversations and templates that the request only names, which are not counted at all;
- `items`: parts of a kind that is not known here.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from headgate.catalog.families import Family
from headgate.catalog.pictures import UNKNOWN, size_of, tokens_of
from headgate.core.call import Operation

MESSAGE, NAME, REPLY = 3, 1, 3
"""Tokens around each message, for its name, and before the reply."""
FUNCTION, FUNCTIONS, PROPERTIES, PROPERTY, ENUM, CHOICE = 7, 12, 3, 3, -3, 3
"""Tokens for each function, for all of them, for properties, for each of these, for an enumeration, for each choice."""
DEEPEST = 16
"""How deep the properties of a function are read as such; below, all words are counted alike."""
FILE = 2000
"""Tokens that a file is taken to have which is not in the request."""


class Asked:
    """What a request holds.

    Attributes:
        texts: what the model reads; to be counted each by itself.
        tokens: what stands around the texts.
        tool_texts, tool_tokens: the same for tools and schemas.
        other_texts, other_tokens: the same for pictures, files, sound, and items of unknown kinds.
        guesses: what is only estimated, and why.
    """

    def __init__(self, family: Family) -> None:
        """Make an empty one, for a model of a family."""
        self.family = family
        self.texts: list[str] = []
        self.tokens = 0
        self.tool_texts: list[str] = []
        self.tool_tokens = 0
        self.other_texts: list[str] = []
        self.other_tokens = 0
        self.guesses: set[str] = set()

    def text(self, value: object) -> None:
        """Add what should be a text."""
        if isinstance(value, str) and value:
            self.texts.append(value)

    def texts_or_tokens(self, value: object) -> None:
        """Add a text, a list of texts, tokens, or a list of lists of tokens."""
        self.text(value)
        for part in _list(value):
            self.text(part)
            self.tokens += len(part) if isinstance(part, list) else isinstance(part, int)

    def content(self, value: object) -> None:
        """Add a message's content: a text, or a list of parts."""
        self.text(value)
        for part in _list(value):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind in ("text", "input_text", "output_text", "summary_text", "reasoning_text"):
                self.text(part.get("text"))
            elif kind == "refusal":
                self.text(part.get("refusal"))
            elif kind in ("image_url", "input_image"):
                self._picture(part)
            elif kind in ("file", "input_file"):
                self._file(part)
            elif kind == "input_audio":
                # Ten tokens a second; compressed sound has 16 kB of that in base64's 21.
                self.other_tokens += 1 + len(_string(_dict(part.get("input_audio")).get("data"))) // 2100
                self.guesses.add("sound")
            else:
                self.unknown(part)

    def _picture(self, part: dict[str, Any]) -> None:
        inner = part.get("image_url")
        facts = inner if isinstance(inner, dict) else {"url": inner, "detail": part.get("detail")}
        size = size_of(_string(facts.get("url")))
        self.other_tokens += tokens_of(size or UNKNOWN, facts.get("detail"), self.family.pictures)
        if size is None or not self.family.seen:
            self.guesses.add("pictures")

    def _file(self, part: dict[str, Any]) -> None:
        inner = part.get("file")
        data = _string((inner if isinstance(inner, dict) else part).get("file_data"))
        # Six bits a character, and four bytes a token: true for plain text, too much for most other files.
        self.other_tokens += len(data) * 3 // 16 if data else FILE
        self.guesses.add("files")

    def unknown(self, part: object) -> None:
        """Add something of a kind that is not known here: every word of it."""
        self.other_tokens += _words(part, self.other_texts)
        self.guesses.add("items")

    def called(self, name: object, arguments: object) -> None:
        """Add a call of a tool that the model made earlier."""
        self.text(name)
        self.text(arguments)
        self.guesses.add("tools")

    def tools(self, entries: object) -> None:
        """Add what may be called: functions in either dialect, custom and hosted tools."""
        found = [entry for entry in _list(entries) if isinstance(entry, dict)]
        for entry in found:
            inner = entry.get("function")
            kind = entry.get("type")
            if isinstance(inner, dict) or kind == "function" or (kind is None and "name" in entry):
                self._function(inner if isinstance(inner, dict) else entry)
            else:
                self.tool_tokens += FUNCTION + _words(entry, self.tool_texts)
                if kind != "custom":
                    self.guesses.add("hosted")
        if found:
            self.tool_tokens += FUNCTIONS
            self.guesses.add("tools")

    def _function(self, function: dict[str, Any]) -> None:
        about = _string(function.get("description")).removesuffix(".")
        self.tool_texts.append(f"{_string(function.get('name'))}:{about}")
        self.tool_tokens += FUNCTION
        self._parameters(function.get("parameters"), 0)

    def _parameters(self, schema: object, depth: int) -> None:
        if not isinstance(schema, dict):
            return
        if depth == DEEPEST:
            self.tool_tokens += _words(schema, self.tool_texts)
            return
        properties = _dict(schema.get("properties"))
        self.tool_tokens += PROPERTIES if properties else 0
        for name, found in properties.items():
            facts = _dict(found)
            kind = facts.get("type")
            kinds = "|".join(map(_string, kind)) if isinstance(kind, list) else _string(kind)
            about = _string(facts.get("description")).removesuffix(".")
            self.tool_texts.append(f"{name}:{kinds}:{about}")
            self.tool_tokens += PROPERTY
            self._parameters(facts, depth + 1)
        choices = _list(schema.get("enum"))
        self.tool_tokens += ENUM if choices else 0
        for choice in choices:
            if isinstance(choice, str):
                self.tool_texts.append(choice)
            self.tool_tokens += CHOICE if isinstance(choice, str) else 1
        self._parameters(schema.get("items"), depth + 1)
        for key in ("$defs", "definitions", "anyOf", "oneOf", "allOf"):
            if key in schema:
                self.tool_tokens += _words(schema[key], self.tool_texts)

    def schema(self, schema: object) -> None:
        """Add the schema that an answer must fit."""
        if isinstance(schema, dict):
            self.tool_tokens += _words(schema, self.tool_texts)
            self.guesses.add("schema")


def _chat(view: Mapping[str, Any], asked: Asked) -> None:
    for message in _list(view.get("messages")):
        if not isinstance(message, dict):
            continue
        asked.tokens += MESSAGE
        asked.text(message.get("role"))
        asked.content(message.get("content"))
        asked.text(message.get("refusal"))
        if message.get("audio") is not None:
            asked.guesses.add("history")
        if message.get("name"):
            asked.text(message["name"])
            asked.tokens += NAME
        for call in [*_list(message.get("tool_calls")), {"function": message.get("function_call")}]:
            made = _dict(_dict(call).get("function") or _dict(call).get("custom"))
            if made:
                asked.called(made.get("name"), made.get("arguments", made.get("input")))
    asked.tokens += REPLY
    asked.tools(view.get("tools"))
    asked.tools(view.get("functions"))
    asked.schema(_dict(_dict(view.get("response_format")).get("json_schema")).get("schema"))
    if view.get("web_search_options") is not None:
        asked.guesses.add("hosted")
    if not asked.family.framed:
        asked.guesses.add("framing")


def _responses(view: Mapping[str, Any], asked: Asked) -> None:
    said = view.get("input")
    messages = [{"role": "user", "content": said}] if isinstance(said, str) else _list(said)
    if view.get("instructions"):
        messages = [{"role": "system", "content": view["instructions"]}, *messages]
    for item in messages:
        if isinstance(item, dict):
            _item(item, asked)
    asked.tokens += REPLY
    asked.tools(view.get("tools"))
    asked.schema(_dict(_dict(view.get("text")).get("format")).get("schema"))
    asked.guesses.add("framing")
    if any(view.get(name) is not None for name in ("previous_response_id", "conversation", "prompt")):
        asked.guesses.add("history")


def _item(item: dict[str, Any], asked: Asked) -> None:
    kind = item.get("type")
    if kind == "item_reference" or (kind is None and "role" not in item):
        asked.guesses.add("history")
        return
    asked.tokens += MESSAGE
    if kind in (None, "message"):
        asked.text(item.get("role"))
        asked.content(item.get("content"))
    elif kind in ("function_call", "custom_tool_call"):
        asked.called(item.get("name"), item.get("arguments", item.get("input")))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        asked.content(item.get("output"))
        asked.guesses.add("tools")
    else:
        asked.unknown(item)


def _plain(*names: str) -> Callable[[Mapping[str, Any], Asked], None]:
    def read(view: Mapping[str, Any], asked: Asked) -> None:
        for name in names:
            asked.texts_or_tokens(view.get(name))

    return read


READERS: Final[Mapping[Operation, Callable[[Mapping[str, Any], Asked], None]]] = MappingProxyType(
    {
        Operation.CHAT: _chat,
        Operation.RESPONSES: _responses,
        Operation.INPUT_TOKENS: _responses,
        Operation.EMBEDDINGS: _plain("input"),
        Operation.COMPLETIONS: _plain("prompt", "suffix"),
    }
)
"""How each operation's request is read. What others cost has nothing to do with the tokens of their requests."""


def read(operation: Operation, view: Mapping[str, Any], family: Family) -> Asked:
    """What a request holds.

    Args:
        operation: one of `READERS`.
        view: the request's body, decoded.
        family: the model's.
    """
    asked = Asked(family)
    READERS[operation](view, asked)
    return asked


def _words(value: object, texts: list[str]) -> int:
    """Add every word of a JSON value, names included, and give one token for each to hold them together."""
    left, glue = [value], 0
    while left:
        part = left.pop()
        glue += not isinstance(part, (dict, list))
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            left += part.values()
            texts += part
        elif isinstance(part, list):
            left += part
    return glue


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
