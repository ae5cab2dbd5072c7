"""Answers to a list: who asks about items that have ids, and for a list of entries that have ids, gets one for each.

That is what a model does that was told to. Each entry depends on the seed and its own item alone, whatever stands
beside it, and begins with the item's first words: whoever mixes them up is found out.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.schema import NoInstance, instance
from headgate.providers.simulator.validity import fits

_FIRST = 40
"""Characters of an item that its answer begins with."""
_BOUNDS = ("enum", "const", "pattern", "format", "minLength", "maxLength")


def by_item(
    schema: Any, value: Any, asked: str, say: Callable[[str, Dice], str], seed: bytes, *, but_one: bool = False
) -> Any:
    """A value that fits a schema, with an entry for each item that is asked about.

    Args:
        schema: the schema.
        value: a value that fits it; given back where nothing is asked about items, or the schema lists no entries.
        asked: the user's last words.
        say: says something about a text.
        seed: the simulator's, and the model.
        but_one: the first item is forgotten.
    """
    items = _items(asked)
    name, entry = _list_in(schema)
    if not items or name is None or not isinstance(value, dict):
        return value
    try:
        entries = [_entry(entry, item, say, seed) for item in (items[1:] if but_one else items)]
    except NoInstance:
        return value
    made = {**value, name: entries}
    return made if fits(made, schema, schema) else value


def _items(asked: str) -> list[dict[str, Any]]:
    """The items, each of which has an id."""
    if not asked.startswith(("{", "[")):
        return []
    try:
        found = msgspec.json.decode(asked)
    except (msgspec.MsgspecError, RecursionError):
        return []
    for listed in (found, *(found.values() if isinstance(found, dict) else ())):
        if isinstance(listed, list) and all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in listed):
            return listed
    return []


def _list_in(schema: Any) -> tuple[str | None, Mapping[str, Any]]:
    """The property that is a list of entries with an id, and the schema of an entry."""
    found = schema.get("properties") if isinstance(schema, dict) else None
    for name, inner in found.items() if isinstance(found, dict) else ():
        entry = inner.get("items") if isinstance(inner, dict) and inner.get("type") == "array" else None
        fields = entry.get("properties") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and isinstance(fields, dict) and "id" in fields and "$ref" not in str(entry):
            return name, entry
    return None, {}


def _entry(
    schema: Mapping[str, Any], item: Mapping[str, Any], say: Callable[[str, Dice], str], seed: bytes
) -> dict[str, Any]:
    text = " ".join(word for name, word in item.items() if name != "id" and isinstance(word, str))
    dice = Dice(seed + b" item " + text.encode(errors="surrogatepass"))
    made: dict[str, Any] = instance(schema, dice)
    for name, field in schema["properties"].items():
        if name in made and field.get("type") == "string" and not any(word in field for word in _BOUNDS):
            made[name] = f"{text[:_FIRST]}: {say(text, dice)}"
    return {**made, "id": item["id"]}
