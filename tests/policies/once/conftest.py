"""Two processes that share a shop."""

from collections.abc import Callable

import pytest

from tests.policies.once.shop import House, Shop


@pytest.fixture
def shop() -> Shop:
    """What processes share."""
    return Shop()


@pytest.fixture
def house(shop: Shop) -> House:
    """A process."""
    return House(shop)


@pytest.fixture
def other(shop: Shop) -> House:
    """Another process."""
    return House(shop)


@pytest.fixture(name="houses")
def _houses(shop: Shop) -> Callable[..., House]:
    """Makes processes with settings."""
    return lambda **settings: House(shop, **settings)
