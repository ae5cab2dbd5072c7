"""The page that describes the addresses."""

from html.parser import HTMLParser

from headgate.server.docs_page import docs_page

EVIL = "<script>alert(1)</script>"


def _schema(**operation):
    return {"info": {"title": "T", "version": "1"}, "paths": {"/a": {"get": operation}}}


class Tags(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        """Note a tag and where it leads."""
        self.names.add(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]


def _tags(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_the_page_needs_nothing_from_elsewhere():
    """No script, no font, no picture; all links stay here."""
    tags = _tags(docs_page(_schema(summary="x"), simulated=False))
    assert not tags.names & {"script", "link", "img", "iframe"}
    assert all(link.startswith("/") for link in tags.links)


def test_everything_is_escaped():
    """Whatever a description holds, it is text."""
    said = {
        "description": EVIL,
        "parameters": [{"name": EVIL, "description": EVIL}],
        "responses": {EVIL: {"description": EVIL, "headers": {EVIL: {"description": EVIL}}}},
    }
    assert "script" not in _tags(docs_page(_schema(**said), simulated=True)).names


def test_fields_headers_and_statuses_are_shown():
    """The page holds what the description does, with backticks as code."""
    page = docs_page(
        _schema(
            description="Use `x`.",
            requestBody={
                "content": {"application/json": {"schema": {"properties": {"model": {"description": "Who."}}}}}
            },
            parameters=[{"name": "x-tag", "description": "Why."}],
            responses={"200": {"description": "Fine.", "headers": {"x-cost": {"description": "How much."}}}},
        ),
        simulated=False,
    )
    for piece in ("Use <code>x</code>.", "model", "Who.", "x-tag", "Why.", "200", "Fine.", "x-cost", "How much."):
        assert piece in page


def test_a_simulation_says_so():
    """The banner stands on the page of a gateway whose answers are made up, and on no other."""
    assert "Simulated" in docs_page(_schema(), simulated=True)
    assert "Simulated" not in docs_page(_schema(), simulated=False)
