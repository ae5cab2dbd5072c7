"""Whether settings fit together."""

import pytest

from headgate.gate.coherence import auth, idle, incoherent
from headgate.gate.config import Config
from headgate.gate.problems import dotted

HASH = "ab" * 32
PROVIDERS = {"openai": {"type": "openai"}, "sim": {"type": "simulator"}}


def config(**data):
    """A configuration with two providers, unless others are given."""
    return Config.model_validate({"providers": PROVIDERS, **data})


def complaints(**data):
    """What does not fit: dotted key, text and hint."""
    return [(dotted(problem.path), problem.text, problem.hint) for problem in incoherent(config(**data))]


def route(name):
    """A route to a provider."""
    return {"targets": [{"provider": name, "model": "m"}]}


def test_a_target_names_a_provider_that_exists():
    """The nearest name is offered, else all of them, else where to add one."""
    assert complaints(models={"fast": route("opnai")}) == [
        ("models.fast.targets[0].provider", "is 'opnai', but there is no such provider.", "Did you mean `openai`?")
    ]
    assert complaints(models={"fast": route("x")})[0][2] == "There are: openai, sim."
    assert complaints(models={"fast": route("x")}, providers={})[0][2] == "Add it under `providers`."
    assert complaints(models={"fast": route("sim")}) == []


def test_the_default_names_a_model_that_somebody_answers():
    """A route, a provider's own model, or anything where `*` takes any name."""
    fast = {"fast": route("sim")}
    assert complaints(models={**fast, "default": "fats"}) == [
        ("models.default", "is 'fats', but no such model is configured.", "Did you mean `fast`?")
    ]
    assert "`*`" in complaints(models={**fast, "default": "zzz"})[0][2]
    assert complaints(models={**fast, "default": "fast"}) == []
    assert complaints(models={**fast, "default": "zzz", "*": route("sim")}) == []
    assert complaints(models={"default": "zzz"}) == []
    short = {"sim": {"type": "simulator", "model": "own"}}
    assert complaints(models={**fast, "default": "own"}, providers=short) == []
    assert complaints(models={"default": route("sim")}) == []


def test_only_the_default_is_a_name():
    """Every other entry of `models` is a mapping."""
    assert complaints(models={"a": "fast"}) == [
        ("models.a", "must be a mapping with `targets`; only `default` is a name.", "")
    ]


def test_a_keys_models_are_models():
    """A key names models that somebody answers to; without a list it may ask for all."""

    def about(*models, **data):
        given = {"models": {"fast": route("sim")}, **data}
        return complaints(keys=[{"name": "a", "sha256": HASH, "models": list(models)}], **given)

    assert about("fast", "fats", "zzz") == [
        ("keys[0].models[1]", "is 'fats', but no such model is configured.", "Did you mean `fast`?"),
        ("keys[0].models[2]", "is 'zzz', but no such model is configured.", "Name an entry of `models`."),
    ]
    assert about("*")[0][:2] == ("keys[0].models[0]", "is no model.")
    assert about("*", models={"*": route("sim")})[0][0] == "keys[0].models[0]"
    assert about("zzz", models={"*": route("sim")}) == []
    assert about("zzz", models={}) == []
    assert about("own", "default", providers={"sim": {"type": "simulator", "model": "own"}}) == []


def test_what_each_call_decides_has_no_default():
    """A default of `stream` would ask for a stream that the caller does not expect."""
    provider = {"type": "openai", "defaults": {"stream": True, "model": "m", "temperature": 0}}
    assert [(name, text) for name, text, _ in complaints(providers={"p": provider})] == [
        (f"providers.p.defaults.{part}", "is decided by each call; a default would contradict it.")
        for part in ("model", "stream")
    ]


def test_keys_differ_in_name_and_hash():
    """Two keys of one name, or one key under two names, would be confused in the books."""
    keys = [{"name": "a", "sha256": HASH}, {"name": "a", "sha256": HASH}]
    assert [complaint[:2] for complaint in complaints(keys=keys)] == [
        ("keys[1].name", "is the same as `keys[0].name`."),
        ("keys[1].sha256", "is the same as `keys[0].sha256`."),
    ]


@pytest.mark.parametrize(
    ("host", "who"),
    [
        ("127.0.0.1", "none"),
        ("127.9.9.9", "none"),
        ("::1", "none"),
        ("localhost", "none"),
        ("0.0.0.0", "keys"),  # noqa: S104  nothing listens here
        ("::", "keys"),
        ("10.0.0.1", "keys"),
        ("example.com", "keys"),
        ("", "keys"),
        ("localhost.evil.example", "keys"),
    ],
)
def test_only_on_loopback_anybody_may_call_by_default(host, who):
    """An address that others can reach asks for keys unless told otherwise."""
    assert auth(config(server={"host": host})) == who
    assert auth(config(server={"host": host, "auth": "none"})) == "none"
    assert auth(config(server={"host": host, "auth": "keys"})) == "keys"


def test_a_key_has_no_group():
    """Its limits are for everything that it asks; a group would only look like one."""
    key = {"name": "a", "sha256": HASH, "limits": {"requests_per_minute": 1}}
    assert complaints(keys=[key]) == []
    key["limits"]["group"] = "g"
    text = "has no effect on a key: its limits are for all models together."
    assert complaints(keys=[key]) == [("keys[0].limits.group", text, "Leave it out.")]


def test_asking_for_keys_needs_keys():
    """Nobody could call; the words tell whether it was asked for or follows from the address."""
    ((name, text, hint),) = complaints(server={"auth": "keys"}, store="memory://")
    assert (name, text) == (
        "server.auth", "asks callers of '127.0.0.1' for a key, but there are no `keys`, and `store` keeps none."
    )  # fmt: skip
    assert "server.auth: none" in hint
    assert "headgate keys create" in hint
    assert "not loopback" in complaints(server={"host": "10.0.0.1"}, store="memory://")[0][1]
    assert complaints(server={"auth": "keys"}, keys=[{"name": "a", "sha256": HASH}], store="memory://") == []


def test_keys_may_come_later_where_they_are_kept():
    """A gateway may start without keys: its operator makes them while it runs."""
    assert complaints(server={"auth": "keys"}) == []
    assert complaints(server={"host": "10.0.0.1"}, store="postgresql://h/d") == []


def test_no_budget_is_called_as_a_keys_own():
    """Two sums of one name would be one sum; so would be `a:b` and what `b` has of `a`."""
    budgets = [{"name": name, "limit_usd": 1} for name in ("key", "keys", "key:web", "Key", "a:b", "", "a\0b")]
    assert [name for name, _, _ in complaints(budgets=budgets)] == [f"budgets[{n}].name" for n in (0, 2, 4, 5, 6)]


@pytest.mark.parametrize(
    ("budget", "wrong"),
    [
        ({"scope": "user", "user": "anna"}, None),
        ({"scope": "user", "project": "shop"}, "project"),
        ({"user": "anna"}, "user"),
        ({"scope": "tag"}, "tag"),
        ({"scope": "tag", "tag": "=a"}, "tag"),
        ({"scope": "tag", "tag": "team"}, None),
        ({"limit_usd": "1e300"}, "limit_usd"),
        ({"limit_usd": "1e-20"}, "limit_usd"),
        ({"limit_usd": "9000000"}, None),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
        ({"time_zone": "Asia/Kathmandu"}, None),
    ],
)
def test_a_budget_can_be_kept(budget, wrong):
    """It is somebody's, it has a sum that can be counted, and its day begins somewhere."""
    found = [name for name, _, _ in complaints(budgets=[{"name": "a", "limit_usd": 1, **budget}])]
    assert found == ([f"budgets[0].{wrong}"] if wrong else [])


def test_each_budget_has_its_own_name():
    """By which it is known to the store, whatever else differs."""
    budgets = [{"name": "a", "limit_usd": 1}, {"name": "b", "limit_usd": 1}, {"name": "a", "limit_usd": 1}]
    assert complaints(budgets=budgets) == [
        ("budgets[2].name", "is the same as `budgets[0].name`.", "Each budget has its own.")
    ]


@pytest.mark.parametrize(
    "address", ["hooks.example.com/s3cret", "ftp://x/s3cret", "https://", "https://x:y/s3cret", "http://x/s3 cret"]
)
def test_alerts_go_to_an_address(address):
    """What is none is not repeated: it may hold a token."""
    (problem,) = complaints(alerts={"webhook": address})
    assert problem == ("alerts.webhook", "is no address.", "Write it as https://hooks.example.com/alerts.")


def test_a_secret_signs_what_is_posted_somewhere():
    """With an address everything is well; without one it is idle, as is a variable that is not set everywhere."""
    assert complaints(alerts={"webhook": "https://u:p@hooks.example.com:8443/a?token=t", "secret": "s"}) == []
    assert idle(config(alerts={"secret": "s"})) == ["`alerts.secret` has no effect without `alerts.webhook`."]
    assert idle(config(alerts={"secret": "s", "webhook": "https://x"})) == []


def test_keys_that_nobody_asks_for_are_idle():
    """It is a warning: the file may be used elsewhere, too."""
    keys = [{"name": "a", "sha256": HASH}]
    assert idle(config(keys=keys)) == [
        "`keys` are not asked for: `server.auth` is `none`, the default on a loopback address."
    ]
    assert idle(config(keys=keys, server={"auth": "keys"})) == []


def test_weight_and_priority_of_a_provider_need_its_model():
    """They belong to the short form."""
    alone = {"p": {"type": "openai", "weight": 2, "priority": 1}}
    assert idle(config(providers=alone)) == [
        "`providers.p.priority` has no effect without `providers.p.model`.",
        "`providers.p.weight` has no effect without `providers.p.model`.",
    ]
    assert idle(config(providers={"p": {**alone["p"], "model": "m"}})) == []


def test_settings_of_another_type_of_provider_are_refused():
    """A simulator has no key, OpenAI takes no script of faults, and a model on this machine has no Responses API."""
    providers = {
        "sim": {"type": "simulator", "api_key": "x", "base_url": "http://x/v1"},
        "real": {"type": "openai", "seed": 1, "faults": [], "model_file": "m.gguf"},
        "own": {"type": "local", "api_key": "x", "seed": 1, "responses": True},
    }
    assert [complaint[0] for complaint in complaints(providers=providers)] == [
        "providers.sim.api_key",
        "providers.sim.base_url",
        "providers.real.seed",
        "providers.real.faults",
        "providers.real.model_file",
        "providers.own.api_key",
        "providers.own.seed",
        "providers.own.responses",
    ]
    own = {"type": "local", "model": "m", "model_file": "m.gguf", "responses": False, "defaults": {"temperature": 0}}
    assert complaints(providers={"own": own}) == []


@pytest.mark.parametrize("name", ["", "a b", "ä", "a\nb"])
def test_a_provider_s_name_can_travel_in_a_header(name):
    """Names are visible ASCII."""
    assert "header" in complaints(providers={name: {"type": "simulator"}})[0][1]


@pytest.mark.parametrize("store", ["mysql://x", "sqlite:///", "sqlite://x", "memory://x", "headgate.db", ""])
def test_a_store_is_of_a_known_kind(store):
    """SQLite by path, Postgres, or memory."""
    assert complaints(store=store)[0][0] == "store"


def test_a_shared_store_is_of_a_known_kind():
    """Memory, or Redis."""
    ((name, text, _),) = complaints(shared="memcached://:pw@x")
    assert (name, text) == ("shared", "is 'memcached://***@x', but must be `memory://` or `redis://…`.")
    assert complaints(shared="memory://x")[0][0] == "shared"
    for shared in ("redis://h", "rediss://u:p@h:6380/2", "redis://h?db=1", "unix:///run/valkey.sock"):
        assert complaints(shared=shared, store="postgresql://h/d") == []


@pytest.mark.parametrize(
    "shared",
    ["redis://h:99999", "redis://h:0", "redis://h:6379/abc", "redis://u:p/w@h", "unix://", "unix://run/valkey.sock"],
)
def test_a_shared_store_has_an_address(shared):
    """A port or database that cannot be is told at once; the driver would ask another one, or nobody."""
    ((name, text, hint),) = complaints(shared=shared)
    assert (name, text.endswith("no address of a Redis.")) == ("shared", True)
    assert "unix:///path" in hint
    assert "p/w" not in text


def test_several_processes_share_more_than_memory():
    """Each would have limits and books of its own."""
    assert complaints(server={"workers": 2})[0][0] == "server.workers"
    assert complaints(server={"workers": 2}, shared="redis://h", store="sqlite:///:memory:")[0][0] == "server.workers"
    assert complaints(server={"workers": 2}, shared="redis://h") == []


def test_any_page_may_call_only_where_keys_are_asked_for():
    """`*` without keys would let every page that somebody visits spend money."""
    server = {"cors": {"origins": ["*"]}}
    ((key, text, hint),) = complaints(server=server)
    assert (key, "any page" in text, "server.auth" in hint) == ("server.cors.origins", True, True)
    keys = [{"name": "a", "sha256": HASH}]
    assert complaints(server={**server, "auth": "keys"}, keys=keys) == []
    assert complaints(server={"cors": {"origins": ["https://a.example"]}}) == []


def test_the_users_own_models_are_like_known_ones():
    """A base that nobody knows would lend nothing; a word that is no capability would never be asked for."""
    own = {
        "good": {"base": "gpt-4.1-mini-2025-04-14", "capabilities": ["tools", "vision"]},
        "bad": {"base": "gpt-4.1-mini-x", "capabilities": ["tools", "tool"]},
        "worse": {"base": "zzz", "capabilities": ["zzz"]},
    }
    assert [line[:2] for line in complaints(catalog={"models": own})] == [
        ("catalog.models.bad.base", "is 'gpt-4.1-mini-x', but nothing is known of such a model."),
        ("catalog.models.bad.capabilities[1]", "is 'tool', which is no capability."),
        ("catalog.models.worse.base", "is 'zzz', but nothing is known of such a model."),
        ("catalog.models.worse.capabilities[0]", "is 'zzz', which is no capability."),
    ]
    hints = [line[2] for line in complaints(catalog={"models": own})]
    assert hints[:3] == [
        "Did you mean `gpt-4.1-mini`?", "Did you mean `tools`?", "`headgate models --all` lists those that are known.",
    ]  # fmt: skip
    assert hints[3].startswith("There are: audio_in, ")


def test_an_app_s_model_is_a_model():
    """Somebody answers to it, or `*` takes any name."""

    def about(name, **models):
        return complaints(apps={"generate": {"model": name}}, models=models)

    (complaint,) = about("fats", fast=route("sim"))
    assert complaint == ("apps.generate.model", "is 'fats', but no such model is configured.", "Did you mean `fast`?")
    assert about("fast", fast=route("sim")) == about("zzz", **{"*": route("sim")}) == about("zzz") == []


def test_a_quality_is_that_of_a_simulated_model():
    """One of a model that the simulator does not have would be without effect; no other provider has any."""
    wrong = {"sim": {"type": "simulator", "quality": {"gpt-6-lunar": 0.7, "gpt-6-sol": 1}}}
    assert complaints(providers=wrong) == [
        (
            "providers.sim.quality",
            "names 'gpt-6-lunar', which no model of the simulator is called.",
            "Did you mean `gpt-6-luna`?",
        )
    ]
    others = {"p": {"type": "openai", "quality": {"gpt-6-sol": 1}}}
    assert complaints(providers=others)[0][1] == "has no effect on a provider of type `openai`."
