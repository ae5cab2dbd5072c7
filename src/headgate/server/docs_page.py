"""`/docs`: the OpenAPI description as one plain page.

Decides how it looks; refuses to know what is in it. No script, no font and no picture from elsewhere: the page works
where the internet does not reach.
"""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1c1e21;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.1rem;margin:2.5rem 0 .3rem;border-top:1px solid #d5d9de;padding-top:1.2rem}
code,pre{font:14px/1.5 ui-monospace,monospace;background:#f2f4f6;border-radius:4px}
code{padding:.1em .3em}pre{padding:.8em;overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #e6e9ec}
.verb{font-weight:700;text-transform:uppercase}.banner{background:#fff3cd;padding:.6rem 1rem;border-radius:4px}
@media(prefers-color-scheme:dark){body{background:#16181b;color:#e4e6e9}code,pre{background:#24282c}
h2,td,th{border-color:#383d43}.banner{background:#4d3f10}a{color:#8ab4f8}}
"""


def docs_page(schema: Mapping[str, Any], *, simulated: bool) -> str:
    """The page.

    Args:
        schema: an OpenAPI description.
        simulated: say that answers are made up.
    """
    info = schema["info"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        '<p class="banner">Simulated: some or all answers are made up by the simulator.</p>' if simulated else "",
        f"<p>{_prose(info.get('description', ''))} The same as data: <a href='/openapi.json'>/openapi.json</a>.</p>",
    ]
    for path, verbs in schema["paths"].items():
        for verb, operation in verbs.items():
            parts += _operation(path, verb, operation)
    parts.append("</body></html>")
    return "".join(parts)


def _operation(path: str, verb: str, operation: Mapping[str, Any]) -> Iterable[str]:
    yield f'<h2><span class="verb">{escape(verb)}</span> <code>{escape(path)}</code></h2>'
    yield f"<p>{_prose(operation.get('description') or operation.get('summary', ''))}</p>"
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    fields = [(name, field.get("description", "")) for name, field in body.get("properties", {}).items()]
    yield from _table("Field", fields)
    yield from _table("Header", [(p["name"], p.get("description", "")) for p in operation.get("parameters", ())])
    responses = operation.get("responses", {})
    yield from _table("Status", [(status, said.get("description", "")) for status, said in responses.items()])
    told = responses.get("200", {}).get("headers", {})
    yield from _table("Header of the answer", [(name, said.get("description", "")) for name, said in told.items()])


def _table(title: str, rows: list[tuple[str, str]]) -> Iterable[str]:
    if rows:
        yield f"<table><tr><th>{title}</th><th></th></tr>"
        yield from (f"<tr><td><code>{escape(name)}</code></td><td>{_prose(text)}</td></tr>" for name, text in rows)
        yield "</table>"


def _prose(text: str) -> str:
    """Text in which backticks mark code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
