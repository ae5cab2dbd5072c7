"""Writes what the house knows of models: the data file of the catalog, and the report of how prices compare.

    python -m tools.catalog                  from the newest LiteLLM, the genai-prices of `.venv`, tools/catalog.yaml
    python -m tools.catalog --litellm 1.109.1
    python -m tools.catalog --check          write nothing; fail if what would be written differs

Three sources: LiteLLM's table (limits, capabilities, dates of retirement, prices of tuned models), genai-prices
(contexts; at run time it is what prices are read from), and `tools/catalog.yaml` by hand, which decides. The files are
`src/headgate/catalog/data/models.json` and `docs/reference/prices-compared.md`.
"""

import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import yaml

from headgate.catalog.families import family
from headgate.catalog.models import CAPABILITIES, Facts, Kind, Model
from headgate.catalog.names import spellings
from headgate.catalog.rates import Figures, PriceList
from tools import litellm
from tools.compare import contexts, report
from tools.litellm import Entry, usd_per_million

ROOT = Path(__file__).parents[1]
BY_HAND = ROOT / "tools" / "catalog.yaml"
DATA = ROOT / "src" / "headgate" / "catalog" / "data" / "models.json"
REPORT = ROOT / "docs" / "reference" / "prices-compared.md"

KINDS: Mapping[str, Kind] = {
    "chat": "chat",
    "responses": "chat",
    "completion": "completion",
    "embedding": "embedding",
    "moderation": "moderation",
    "image_generation": "image",
    "audio_speech": "speech",
    "audio_transcription": "transcription",
    "realtime": "realtime",
    "video_generation": "video",
}
ENDPOINTS: Mapping[str, Sequence[str]] = {
    "/v1/chat/completions": ("chat",),
    "/v1/responses": ("responses", "responses.input_tokens"),
    "/v1/images/generations": ("images",),
    "/v1/images/edits": ("images.edits",),
    "/v1/audio/speech": ("audio.speech",),
    "/v1/audio/transcriptions": ("audio.transcriptions",),
}
ABLE: Mapping[str, str] = {
    "supports_audio_input": "audio_in",
    "supports_audio_output": "audio_out",
    "supports_prompt_caching": "cache",
    "supports_computer_use": "computer_use",
    "supports_pdf_input": "documents",
    "supports_response_schema": "json_schema",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_assistant_prefill": "prefill",
    "supports_reasoning": "reasoning",
    "supports_function_calling": "tools",
    "supports_vision": "vision",
    "supports_web_search": "web_search",
}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
USUAL_EFFORTS = frozenset(("low", "medium", "high"))
HELD_REASONING, HELD = 32_768, 16_384
"""Tokens held for an answer that nobody bounds: what few answers reach, of models that think and of others."""

_LONG = 272_000


def plain_facts(maker: str, name: str, entry: Entry, whole: frozenset[int]) -> dict[str, Any]:
    """What LiteLLM says of a model, in our words."""
    kind = KINDS.get(entry.get("mode", ""), "chat")
    facts: dict[str, Any] = {"id": name, "maker": maker, "kind": kind, "source": "T"}
    limit, output = entry.get("max_input_tokens"), entry.get("max_output_tokens")
    if isinstance(limit, int):
        # Some entries leave the output out of the input's limit: those whose sum is a context that genai-prices knows.
        together = limit + (output or 0)
        facts["context"] = together if together in whole else limit
        if together in whole and output:
            facts["max_input"] = limit
    if isinstance(output, int) and output and kind != "embedding":
        facts["max_output"] = output
    if dimensions := entry.get("output_vector_size"):
        facts["dimensions"] = dimensions
    if day := entry.get("deprecation_date"):
        facts["retires"] = date.fromisoformat(day)
    endpoints = [operation for path in entry.get("supported_endpoints", ()) for operation in ENDPOINTS.get(path, ())]
    if endpoints:
        facts["operations"] = endpoints
    if kind == "chat":
        able = {word for key, word in ABLE.items() if entry.get(key)}
        facts["capabilities"] = able | ({"streaming"} if entry.get("supports_native_streaming", True) else set())
        if entry.get("supports_sampling_params") is False:
            facts["sampling"] = "never"
        if "reasoning" in able:
            facts["efforts"] = [
                effort
                for effort in EFFORTS
                if entry.get(f"supports_{effort}_reasoning_effort", effort in USUAL_EFFORTS)
            ]
    return facts


def ruled(found: dict[str, dict[str, Any]], rules: Sequence[Mapping[str, Any]]) -> None:
    """Put the rules of `catalog.yaml` on top."""
    for rule in rules:
        for name in rule["models"]:
            facts = found.setdefault(name, {"id": name})
            if like := rule.get("like"):
                found[name] = facts = {**found[like], **facts}
            for field, value in rule.items():
                if field == "refuses":
                    facts[field] = sorted({*facts.get(field, ()), *value})
                elif field == "source":
                    facts[field] = ", ".join(sorted({*facts.get(field, "T").split(", "), *value.split(", ")}))
                elif field == "note":
                    facts[field] = f"{facts[field]}; {value}" if facts.get(field) else value
                elif field not in {"models", "like"}:
                    facts[field] = value


def finished(facts: Mapping[str, Any]) -> Model:
    """A model with what follows from its facts."""
    made = dict(facts)
    known = family(made["id"])
    if made["maker"] == "openai" and known.sure:
        made["encoding"] = known.encoding
    if (output := made.get("max_output")) and made["kind"] == "chat":
        made["default_max_output"] = min(output, HELD_REASONING if made.get("efforts") else HELD)
    if made.get("efforts"):
        made["capabilities"] = {*made.get("capabilities", ()), "reasoning"}
    unknown = set(made.get("capabilities") or ()) - CAPABILITIES
    assert not unknown, f"{made['id']}: {unknown} are no capabilities"
    return msgspec.convert(made, Model)


def snapshots(found: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same without dated names that say nothing of their own; those that do keep what holds for all dates."""
    kept: dict[str, dict[str, Any]] = {}
    for name, facts in found.items():
        base = next((found[other] for other in spellings(name) if other != name and other in found), None)
        if base is None:
            kept[name] = facts
            continue
        told = ("max_output", "retires", "context", "successor")
        own: dict[str, Any] = {key: facts[key] for key in told if key in facts and facts[key] != base.get(key)}
        if own:
            kept[name] = {**base, "id": name, **own}
    return kept


def tuned(entries: Mapping[tuple[str, str], Entry], version: str) -> Iterator[tuple[str, PriceList]]:
    """Prices of tuned models, which cost more than their base, by the undated name that `spellings` finds."""
    for (maker, name), entry in entries.items():
        if maker != "openai" or not name.startswith("ft:"):
            continue
        tiers = {}
        for tier, end in (("standard", ""), ("batch", "_batches")):
            figures = Figures(
                input=usd_per_million(entry, f"input_cost_per_token{end}"),
                cached=usd_per_million(entry, f"cache_read_input_token_cost{end}"),
                output=usd_per_million(entry, f"output_cost_per_token{end}"),
            )
            if figures.input is not None:
                tiers[tier] = (figures,)
        base = [spelling for spelling in spellings(f"{name}:x") if spelling.startswith("ft:")][-1]
        yield base, PriceList(source=f"LiteLLM {version}", tiers=tiers)


def by_hand_priced(line: Mapping[str, Any]) -> PriceList:
    """The price list of a model whose figures stand in `catalog.yaml`; `like_gpt_6` brings tiers and steps by rule."""
    said = {name: Decimal(str(value)) for name, value in line.items() if name not in {"source", "like_gpt_6"}}
    if not line.get("like_gpt_6"):
        return PriceList(source=line["source"], tiers={"standard": (Figures(0, **said),)})
    said["write"] = said["input"] * Decimal("1.25")

    def figures(factor: Decimal) -> tuple[Figures, ...]:
        more = {name: rate * (Decimal("1.5") if name == "output" else 2) for name, rate in said.items()}
        return tuple(
            Figures(above, **{name: (rate * factor).normalize() for name, rate in rates.items()})
            for above, rates in ((_LONG, more), (0, said))
        )

    half, one, two = Decimal("0.5"), Decimal(1), Decimal(2)
    factors = {"standard": one, "batch": half, "flex": half, "priority": two, "fast": two}
    return PriceList(source=line["source"], tiers={tier: figures(factor) for tier, factor in factors.items()})


def build(table: litellm.Table, by_hand: Mapping[str, Any], genai_version: str) -> Facts:
    """All facts."""
    found: dict[str, dict[str, Any]] = {}
    for (maker, name), entry in sorted(table.entries.items()):
        if not name.startswith("ft:") and name not in by_hand["aliases"] and "mode" in entry:
            found[name] = plain_facts(maker, name, entry, contexts(maker))
    ruled(found, by_hand["rules"])
    sources = {**by_hand["sources"], "litellm": table.version, "genai-prices": genai_version}
    prices = dict(tuned(table.entries, table.version))
    prices |= {name: by_hand_priced(line) for name, line in by_hand["prices"].items()}
    return Facts(
        date=by_hand["date"],
        sources=sources,
        models={name: finished(facts) for name, facts in sorted(snapshots(found).items())},
        aliases=by_hand["aliases"],
        prices=dict(sorted(prices.items())),
    )


def write(facts: Facts) -> str:
    """The data file: one line per model, so that a change is seen."""
    whole = msgspec.to_builtins(facts, order="deterministic")
    lines = []
    for name, value in whole.items():
        if name in {"models", "prices", "aliases"}:
            inner = [f"  {_json(key)}: {_json(part)}" for key, part in value.items()]
            lines.append(f"{_json(name)}: {{\n" + ",\n".join(inner) + "\n}")
        else:
            lines.append(f"{_json(name)}: {_json(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def main(arguments: Sequence[str]) -> int:
    """Write or check both files."""
    parser = argparse.ArgumentParser(prog="python -m tools.catalog", description="What is known of models.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    parser.add_argument("--litellm", metavar="VERSION", help="version of LiteLLM (default: the newest)")
    asked = parser.parse_args(arguments)
    by_hand = yaml.safe_load(BY_HAND.read_text("utf-8"))
    import genai_prices  # noqa: PLC0415  takes a second

    table = litellm.fetch(asked.litellm)
    facts = build(table, by_hand, genai_prices.__version__)
    made = {DATA: write(facts), REPORT: report(table, facts)}
    changed = 0
    for path, text in made.items():
        before = path.read_text("utf-8") if path.exists() else ""
        if before == text:
            continue
        changed += 1
        if asked.check:
            print(*difflib.unified_diff(before.splitlines(), text.splitlines(), str(path), lineterm=""), sep="\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    print(f"{len(facts.models)} models, LiteLLM {table.version}, genai-prices {genai_prices.__version__}")
    return 1 if changed and asked.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
