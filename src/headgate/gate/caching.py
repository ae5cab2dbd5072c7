"""From the settings of the cache to the policy.

Decides what holds for which route; refuses to know how answers are found and kept.
"""

from collections.abc import Callable
from hashlib import sha256

import msgspec

from headgate.core.clock import Clock
from headgate.core.errors import BadRequestError
from headgate.gate.config import Config, Route
from headgate.gate.tasks import Start
from headgate.policies.cache.cache import Cache
from headgate.policies.cache.naming import Rule
from headgate.policies.route import ANY
from headgate.stores.blobs import Blobs
from headgate.stores.protocols import Journal

_encode = msgspec.json.Encoder(order="deterministic", enc_hook=str).encode


def cache(config: Config, blobs: Blobs, clock: Clock, start: Start, journal: Journal) -> Cache:
    """The policy that the settings ask for. It is always there: a key or a call may ask for it, too."""
    return Cache(
        blobs,
        rules(config),
        clock=clock,
        start=start,
        journal=journal,
        largest=int(config.policies.cache.max_entry_kb * 1024),
    )


def label(*, model: str | None = None, tag: str | None = None) -> str | None:
    """What answers are forgotten by; None for all of them.

    Raises:
        BadRequestError: both are named, or the tag is none.

    Example:
        >>> label(tag="team=a")
        'tag:team=a'
    """
    if model is not None and tag is not None:
        raise BadRequestError("Answers are forgotten by their model or by a tag, not by both.", hint="Name one.")
    if tag is not None:
        if "=" not in tag:
            raise BadRequestError(f"{tag[:80]!r} is no tag.", param="tag", hint="Write NAME=VALUE.")
        return f"tag:{tag}"
    return None if model is None else f"model:{model}"


def rules(config: Config) -> Callable[[str], Rule]:
    """What holds for a route, by the name that is asked for."""
    found = {name: _rule(config, route) for name, route in config.models.items() if isinstance(route, Route)}
    fallback = found.get(ANY) or _rule(config, None)
    return lambda name: found.get(name, fallback)


def _rule(config: Config, route: Route | None) -> Rule:
    general = config.policies.cache
    own = None if route is None else route.cache
    return Rule(
        enabled=general.enabled if own is None else own.enabled,
        ttl=general.ttl if own is None or own.ttl is None else own.ttl,
        scope=general.scope if own is None or own.scope is None else own.scope,
        mark="" if route is None else _mark(config, route),
        defaults=() if route is None else tuple(config.providers[t.provider].defaults for t in route.targets),
    )


def _mark(config: Config, route: Route) -> str:
    """Changes with whatever changes the answers of a route: an answer of yesterday's models is none of today's."""
    targets = []
    for target in route.targets:
        provider = config.providers[target.provider]
        targets.append((provider.type, provider.base_url, target.provider, target.model, provider.defaults))
    compress = None if route.compress is None else route.compress.model_dump()
    return sha256(_encode((targets, config.policies.on_unsupported, compress))).hexdigest()[:16]
