"""The report as a page: one file that asks the network for nothing and runs nothing.

Decides what a reader sees first, and how figures read; refuses to know where they come from. Answers, rows, prompts and
names were written by strangers: every text is escaped where it enters, and the page's own policy forbids scripts,
pictures, addresses and all style but its own.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from html import escape

import msgspec

from headgate.apps.evals import charts
from headgate.apps.evals.charts import Dot, Mark
from headgate.apps.evals.judging import Line
from headgate.apps.evals.report import Comparison, Report

_LONGEST = 2000
"""Characters of a text that are shown."""
_MOST = 30
"""Fields of a row that are shown."""
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --soft: #5c6470; --line: #dfe3e8; --paper: #ffffff; --card: #f6f7f9;
  --mark: #2457c5; --band: #b9cdf5; --good: #16703c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ec; --soft: #9aa3b0; --line: #343b46; --paper: #14171c;
  --card: #1c2027; --mark: #8ab0ff; --band: #2c4473; --good: #6fd396; --bad: #ff9b92; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .4rem; }
p { margin: .4rem 0; max-width: 75ch; }
.soft, figcaption, caption { color: var(--soft); font-size: .92rem; }
.verdict { background: var(--card); border-left: 4px solid var(--mark); border-radius: 4px; padding: .7rem 1rem;
  margin: 1.2rem 0; }
.verdict p { overflow-wrap: anywhere; }
.warning { border-color: var(--bad); }
figure { margin: .4rem 0; }
svg { display: block; width: 100%; height: auto; max-width: 820px; }
svg text { font: 13px system-ui, sans-serif; }
.grid { stroke: var(--line); } .tick { fill: var(--soft); }
.name { fill: var(--ink); paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.range { stroke: var(--mark); stroke-width: 2; } .box { fill: var(--band); } .dot { fill: var(--mark); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; overflow-wrap: anywhere;
  min-width: 11rem; }
.words td { white-space: normal; text-align: left; }
.words th:first-child { width: 9rem; min-width: 0; }
code { font-family: ui-monospace, monospace; }
article { border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; margin: .8rem 0; }
article h3 { font-size: .95rem; margin: 0 0 .4rem; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: .8rem; margin-top: .6rem; }
.side > div { background: var(--card); border-radius: 4px; padding: .5rem .7rem; min-width: 0; }
.side h4 { font-size: .88rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 16rem; overflow: auto;
  font: .86rem/1.45 ui-monospace, monospace; }
.good { color: var(--good); } .bad { color: var(--bad); } .empty { color: var(--soft); font-style: italic; }
"""


def page(report: Report, worst: Sequence[Sequence[Line]]) -> str:
    """The whole page.

    Args:
        report: what was found.
        worst: rows to be shown, each with all its lines.
    """
    policy = b64encode(sha256(_STYLE.encode()).digest()).decode()
    title = f"Evaluation of {_text(report.dataset)}"
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="soft">{_summary(report)}</p>',
        _verdict(report),
        _warnings(report),
        _quality(report),
        _variants(report),
        _comparisons(report),
        _costs(report),
        _latencies(report),
        _worst(worst),
        _prompts(report),
        _notes(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; "
        f"form-action 'none'; style-src 'sha256-{policy}'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def verdict(report: Report) -> list[str]:
    """What was found, in sentences."""
    scored = [variant for variant in report.variants if variant.quality is not None]
    if not scored:
        return ["No row has a score."]
    if len(report.variants) == 1:
        quality = scored[0].quality
        assert quality is not None, "it is scored"
        return [f"{scored[0].name}: {percent(quality.mean)} ({percent(quality.low)} to {percent(quality.high)})."]
    if len(report.variants) == 2:
        return [_sentence(pair) for pair in report.comparisons] or ["No row has a score from both."]
    first = max(scored, key=lambda one: one.quality.mean if one.quality else 0.0)
    assert first.quality is not None, "it is scored"
    pairs = [pair for pair in report.comparisons if first.name in {pair.a, pair.b}]
    beaten = [_other(pair, first.name) for pair in pairs if pair.better == first.name]
    even = [_other(pair, first.name) for pair in pairs if pair.better is None]
    told = [f"{first.name} has the highest quality: {percent(first.quality.mean)}."]
    if beaten:
        told.append(f"It is better than {', '.join(beaten)}.")
    if even:
        told.append(f"No difference from it that chance would not explain was found in {', '.join(even)}.")
    return told


def _other(pair: Comparison, name: str) -> str:
    return pair.b if pair.a == name else pair.a


def _sentence(pair: Comparison) -> str:
    if pair.better is None:
        return (
            f"No difference between {pair.a} and {pair.b} was found that chance would not explain: "
            f"{points(pair.difference.mean)} ({points(pair.difference.low, unit=False)} to "
            f"{points(pair.difference.high, unit=False)}) on {pair.rows:,} rows, p {p_value(pair.p_holm)}."
        )
    sign = 1 if pair.better == pair.a else -1
    low, high = sorted((sign * pair.difference.low, sign * pair.difference.high))
    return (
        f"{pair.better} is better than {_other(pair, pair.better)} by {points(sign * pair.difference.mean)} "
        f"({points(low, unit=False)} to {points(high, unit=False)}) on {pair.rows:,} rows, p {p_value(pair.p_holm)}."
    )


def counted(report: Report) -> str:
    """How many rows and variants there are."""
    variants = len(report.variants)
    return f"{report.rows:,} rows, {variants} {'variant' if variants == 1 else 'variants'}"


def percent(share: float) -> str:
    """A share.

    Example:
        >>> percent(0.725)
        '72.5 %'
    """
    return f"{100 * share:.1f} %"


def points(share: float, *, unit: bool = True) -> str:
    """A difference of shares, in points of a hundred."""
    return f"{100 * share:.1f} points" if unit else f"{100 * share:.1f}"


def p_value(p: float) -> str:
    """A p-value; very small ones only by their bound.

    Example:
        >>> p_value(0.03), p_value(1e-9)
        ('= 0.0300', '< 0.0001')
    """
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}"


def _bare(p: float) -> str:
    return escape(p_value(p).removeprefix("= "))


def dollars(text: str | None) -> str:
    """Money, with the digits that tell sums apart.

    Example:
        >>> dollars("1234.5678"), dollars("0.0000198698"), dollars("0")
        ('$1,234.57', '$0.00001987', '$0')
    """
    if text is None:
        return "unknown"
    value = Decimal(text)
    return f"${value:,.{min(max(3 - value.adjusted(), 2), 12)}f}" if value else "$0"


def _text(text: str) -> str:
    """A stranger's text, as a page may hold it."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text) - _LONGEST:,} more characters)"
    return charts.safe(cut)


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"


def _summary(report: Report) -> str:
    made = datetime.fromtimestamp(report.created, UTC).strftime("%Y-%m-%d %H:%M UTC")
    scorer = str(report.scorer["name"])
    field = report.scorer.get("expected")
    against = f" against <code>{_text(str(field))}</code>" if field else ""
    speed = f"{report.rows_per_second:,.1f} rows/s; " if report.asked else ""
    return (
        f"{counted(report)}, scorer <code>{_text(scorer)}</code>{against}; "
        f"{dollars(report.cost_usd)} in all; {speed}{made}"
    )


def _verdict(report: Report) -> str:
    return '<div class="verdict">' + "".join(f"<p>{_text(line)}</p>" for line in verdict(report)) + "</div>"


def _warnings(report: Report) -> str:
    told = []
    if report.stopped is not None:
        told.append(f"The run was stopped ({report.stopped}); rows that were not asked are missing below.")
    if report.bad_rows:
        told.append(f"{_many(report.bad_rows, 'row')} could not be asked or judged: failed for every variant.")
    failed = report.failed - report.bad_rows * len(report.variants)
    if failed:
        told.append(f"{_many(failed, 'answer')} failed. Without a score, they are no part of the quality.")
    cached = sum(variant.cached for variant in report.variants)
    if cached:
        told.append(
            f"{_many(cached, 'answer')} came from the cache; costs per row and latencies are those of the others."
        )
    if not told:
        return ""
    return '<div class="verdict warning">' + "".join(f"<p>{_text(line)}</p>" for line in told) + "</div>"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _quality(report: Report) -> str:
    marks = [
        Mark(one.name, q.low, q.high, q.mean, f"{percent(q.mean)}, {percent(q.low)} to {percent(q.high)}")
        for one in report.variants
        if (q := one.quality) is not None
    ]
    if not marks:
        return ""
    drawn = charts.lines(marks, "Quality of each variant", lambda share: f"{100 * share:g} %", least=0.0, most=1.0)
    return _figure("Quality", drawn, "Mean score; the line is where the true one lies with a confidence of 95 %.")


def _variants(report: Report) -> str:
    rows = [
        [
            _text(one.name),
            "none" if one.quality is None else percent(one.quality.mean),
            "" if one.quality is None else f"{100 * one.quality.low:.1f} to {100 * one.quality.high:.1f}",
            f"{one.scored:,} / {one.failed:,}",
            dollars(one.cost_per_row_usd),
            dollars(one.cost_usd),
            *(_milliseconds(one.latency_ms[name]) if one.latency_ms else "none" for name in ("mean", "p95")),
            f"{one.prompt_tokens:,} / {one.completion_tokens:,}",
            "none" if one.tokens_per_second is None else f"{one.tokens_per_second:,.0f}",
        ]
        for one in report.variants
    ]
    head = ["variant", "quality", "95 %", "scored / failed", "cost/row", "cost", "latency", "p95", "tokens in / out",
            "tokens/s"]  # fmt: skip
    return _table(head, rows)


def _comparisons(report: Report) -> str:
    if not report.comparisons:
        return ""
    rows = [
        [
            f"{_text(pair.a)}<br>against {_text(pair.b)}",
            f"{100 * pair.difference.mean:+.1f}",
            f"{100 * pair.difference.low:+.1f} to {100 * pair.difference.high:+.1f}",
            f"{pair.a_better:,} / {pair.b_better:,} / {pair.equal:,}",
            f"{pair.rows:,}" + (f" ({pair.left_out:,} left out)" if pair.left_out else ""),
            _bare(pair.p),
            _bare(pair.p_holm),
            _text(pair.better) if pair.better else '<span class="empty">none</span>',
        ]
        for pair in report.comparisons
    ]
    head = ["difference", "points", "95 %", "won / lost / even", "rows", "p", "p (Holm)", "better"]
    return "<h2>Row by row</h2>" + _table(head, rows)


def _costs(report: Report) -> str:
    dots = [
        Dot(one.name, float(one.cost_per_row_usd), one.quality.mean, one.quality.low, one.quality.high)
        for one in report.variants
        if one.quality is not None and one.cost_per_row_usd is not None
    ]
    if not dots:
        return ""
    drawn = charts.scatter(
        dots,
        "Cost against quality",
        x=lambda cost: f"${cost:.3g}",
        y=lambda share: f"{100 * share:g} %",
        below="cost of a row",
    )
    return _figure("Cost against quality", drawn, "Better is higher up, cheaper further left.")


def _latencies(report: Report) -> str:
    marks = [
        Mark(
            one.name,
            times["p5"],
            times["p95"],
            times["p50"],
            f"half within {_milliseconds(times['p50'])}, 95 of 100 within {_milliseconds(times['p95'])}",
            (times["p25"], times["p75"]),
        )
        for one in report.variants
        if (times := one.latency_ms)
    ]
    if not marks:
        return ""
    most = max(mark.high for mark in marks)
    show = (lambda ms: f"{ms:g} ms") if most < 10_000 else (lambda ms: f"{ms / 1000:g} s")
    drawn = charts.lines(marks, "Latency of each variant", show, least=0.0, most=float("inf"))
    return _figure("Latency", drawn, "The median; half of all answers lie within the bar, nine of ten within the line.")


def _worst(worst: Sequence[Sequence[Line]]) -> str:
    if not worst:
        return ""
    parts = []
    for lines in worst:
        asked = _fields(bytes(lines[0].row))
        answers = "".join(
            f'<div><h4>{_text(line.variant)} <span class="{"good" if (line.score or 0) >= 1 else "bad"}">'
            f"{'failed' if line.score is None else f'{line.score:.2f}'}</span></h4>{_answer(line)}</div>"
            for line in lines
        )
        parts.append(
            f'<article><h3>line {lines[0].line:,}</h3><div class="wide">{asked}</div>'
            f'<div class="side">{answers}</div></article>'
        )
    return "<h2>Rows that went worst</h2>" + "".join(parts)


def _fields(raw: bytes) -> str:
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    rows = [
        f"<tr><th>{_text(name)}</th><td><pre>{_text(_shown(value))}</pre></td></tr>"
        for name, value in list(fields.items())[:_MOST]
    ]
    return f'<table class="words">{"".join(rows)}</table>'


def _shown(value: msgspec.Raw) -> str:
    found = msgspec.json.decode(value)
    return found if isinstance(found, str) else bytes(value).decode()


def _answer(line: Line) -> str:
    if line.error is not None:
        told = f'<p class="bad">{_text(line.error.message)}</p>'
        return told + (f"<pre>{_text(line.answer)}</pre>" if line.answer else "")
    cut = '<p class="bad">cut off by the longest length asked for</p>' if line.finish_reason == "length" else ""
    return cut + (f"<pre>{_text(line.answer)}</pre>" if line.answer else '<p class="empty">no words</p>')


def _prompts(report: Report) -> str:
    prompts = {one.prompt: one.template for one in report.variants}
    parts = [f"<article><h3>{_text(name)}</h3><pre>{_text(text)}</pre></article>" for name, text in prompts.items()]
    return "<h2>Prompts</h2>" + "".join(parts)


def _notes(report: Report) -> str:
    number = len(report.comparisons)
    holm = (
        f" {number} comparisons were made, and the p-values beside (Holm) are corrected for it; a variant is called "
        "better by these."
        if number > 1
        else ""
    )
    return (
        '<h2>How it was reckoned</h2><p class="soft">Variants are compared on the rows that both have a score for. '
        "Intervals of differences are paired bootstraps (Efron and Tibshirani, 1993), those of shares are Wilson's. "
        "P-values are exact ones of McNemar's test where scores are 0 or 1, else those of a randomisation test; from "
        f"5,000 rows on, normal approximations are used.{holm} Failed rows are left out and counted. Drawn from the "
        f"seed {report.seed}.</p>"
    )


def _figure(title: str, drawn: str, caption: str) -> str:
    return f"<h2>{title}</h2><figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
