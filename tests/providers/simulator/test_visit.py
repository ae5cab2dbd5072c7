"""What names a request."""

import pytest

from headgate.providers.simulator.visit import Request, Visit


def test_names():
    """Equal seeds and numbers have equal names; others have others."""
    visits = [Visit(Request("GET", "/v1/models", {}), *pair) for pair in [(1, 0), (1, 0), (2, 0), (1, 1)]]
    assert visits[0].key == visits[1].key
    assert len({visit.request_id for visit in visits}) == 3
    assert len(visits[0].key) == 48
    assert visits[0].request_id == "req_" + visits[0].key[:32]


@pytest.mark.parametrize(
    ("path", "below"), [("/v1/models", "/models"), ("/openai/v1/models/a", "/models/a"), ("/models", ""), ("/v1", "")]
)
def test_the_path_below(path, below):
    """Whatever stands before `/v1` does not matter."""
    visit = Visit(Request("GET", path, {"x-client-request-id": "mine"}), 1, 0)
    assert (visit.path, visit.client_request_id) == (below, "mine")
    assert (visit.call, visit.model, visit.stream, visit.fault) == (0, None, False, None)
