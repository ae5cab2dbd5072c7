"""What a worker is told. That it serves is shown in `tests/chaos/test_workers.py`."""

import pickle

import pytest

from headgate.core.secret import Secret
from headgate.gate.load import load
from headgate.server.worker import Order, Orders, dumped, loaded

SETTINGS = {
    "server": {"workers": 2, "auth": "keys", "admin_key": "hg-admin"},
    "store": "postgresql://u:p@h/d",
    "shared": "redis://:p@h",
    "providers": {"p": {"type": "openai", "api_key": "sk-1", "headers": {"x": "secret"}, "limits": {"spread": False}}},
    "models": {"m": {"targets": [{"provider": "p"}]}, "default": "m"},
    "budgets": [{"name": "all", "window": "month", "limit_usd": "0.1"}],
    "alerts": {"webhook": "https://h/token", "secret": "s"},
}


def test_an_order_arrives_as_it_was_given():
    """The whole configuration: credentials, and which settings were made and which are defaults."""
    config = load(None, environment={}, settings=SETTINGS).config
    sent = dumped(Order(config=config, port=7, number=2))
    order = loaded(sent[4:])
    assert (order.port, order.number) == (7, 2)
    assert order.config == config
    assert order.config.server.model_fields_set == config.server.model_fields_set
    assert order.config.providers["p"].api_key.reveal() == "sk-1"


@pytest.mark.parametrize("piece", [1, 3, 100, 1 << 20])
def test_further_orders_come_in_pieces(piece):
    """Whatever the pipe cuts them into; one that is not whole waits."""
    config = load(None, environment={}, settings=SETTINGS).config
    data = b"".join(dumped(Order(config=config, port=port, number=1)) for port in (1, 2, 3))
    orders, found = Orders(), []
    for at in range(0, len(data) - 1, piece):
        found += [order.port for order in orders.take(data[at : min(at + piece, len(data) - 1)])]
    assert found == [1, 2]
    assert [order.port for order in orders.take(data[-1:])] == [3]


def test_nobody_else_can_write_credentials_down():
    """What an order does on purpose happens nowhere by accident."""
    with pytest.raises(TypeError, match="a Secret cannot be pickled"):
        pickle.dumps(Secret("sk-1"))
