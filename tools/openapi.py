"""Writes the tests' copy of the schemas that describe OpenAI's answers, out of OpenAI's own document.

    python -m tools.openapi              from ../shared/openapi/openapi.yaml, which stands beside the project
    python -m tools.openapi FILE

The copy holds what `ANSWERS` and everything below it need, without the words: no descriptions, examples, defaults.
What is OpenAPI and not JSON schema is put into JSON schema's words: `nullable`, and references to oneself.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT.parent / "shared" / "openapi" / "openapi.yaml"
COPY = ROOT / "tests" / "providers" / "simulator" / "openapi.json"
ABOUT = "Component schemas of github.com/openai/openai-openapi (openapi.yaml, MIT licence), made by tools/openapi.py."

ANSWERS = (
    "CreateChatCompletionResponse",
    "CreateChatCompletionStreamResponse",
    "CreateCompletionResponse",
    "CreateEmbeddingResponse",
    "CreateModerationResponse",
    "CreateSpeechResponseStreamEvent",
    "CreateTranscriptionResponseJson",
    "CreateTranscriptionResponseStreamEvent",
    "CreateTranscriptionResponseVerboseJson",
    "CreateTranslationResponseJson",
    "CreateTranslationResponseVerboseJson",
    "ErrorResponse",
    "ImageEditStreamEvent",
    "ImageGenStreamEvent",
    "ImagesResponse",
    "ListModelsResponse",
    "Model",
    "Response",
    "ResponseStreamEvent",
    "TokenCountsResource",
)
"""What the simulator answers with."""

PLACE = "#/components/schemas/"
WORDS = frozenset(
    (
        "title",
        "description",
        "example",
        "examples",
        "default",
        "deprecated",
        "externalDocs",
        "discriminator",
        "optional",
    )
)
"""What does not decide whether a value is valid."""


def trim(schemas: Mapping[str, Any], wanted: tuple[str, ...] = ANSWERS) -> dict[str, Any]:
    """The schemas of these names and all that they refer to, in JSON schema's words, by name.

    Raises:
        KeyError: there is none of a name.
    """
    found: dict[str, Any] = {}
    left = list(wanted)
    while left:
        name = left.pop()
        if name not in found:
            found[name] = _plain(schemas[name], name)
            left += _named(found[name])
    return dict(sorted(found.items()))


def _plain(schema: Any, name: str) -> Any:
    """A schema without its words; `name` is the component that it is a part of."""
    if isinstance(schema, list):
        return [_plain(part, name) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$recursiveRef" in schema:
        return {"$ref": PLACE + name}
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            plain[key] = {field: _plain(part, name) for field, part in value.items()}
        elif key not in WORDS and key not in ("nullable", "$recursiveAnchor") and not key.startswith("x-"):
            plain[key] = _plain(value, name)
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def _named(schema: Any) -> Iterator[str]:
    """The components that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(PLACE)
        for part in schema.values():
            yield from _named(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _named(part)


def read(source: Path) -> dict[str, Any]:
    """The component schemas of an OpenAPI document."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load(source.read_text("utf-8"), loader)["components"]["schemas"]  # noqa: S506  either one is safe
    return found


def write(schemas: Mapping[str, Any]) -> str:
    """The copy: a component a line, so that a renewal shows what changed."""
    lines = [f"{json.dumps(name)}: {json.dumps(schema, separators=(',', ':'))}" for name, schema in schemas.items()]
    head = f'{{"about": {json.dumps(ABOUT)},\n"components": {{"schemas": {{\n'
    return head + ",\n".join(lines) + "\n}}}\n"


def main() -> None:
    """Write the copy."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE
    if not source.exists():
        sys.exit(f"error: there is no {source}\n\nhint: name the file: python -m tools.openapi FILE")
    schemas = trim(read(source))
    COPY.write_text(write(schemas), "utf-8")
    print(f"{COPY.relative_to(ROOT)}: {len(schemas)} schemas")


if __name__ == "__main__":
    main()
