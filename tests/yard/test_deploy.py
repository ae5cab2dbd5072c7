"""What is given to others: the container's files fit together and fit headgate, and the wheel has what is committed."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from headgate.gate.config import Config
from headgate.gate.load import load
from tools.dist import differences

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
EXAMPLE = ROOT / "examples" / "container" / "headgate.yaml"
EVERYWHERE = "0.0.0.0"  # noqa: S104  within a container
WANTED = re.compile(r"\$\{(\w+):\?[^}]*\}")


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Containerfile, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in whole.splitlines() if line.strip()]


def test_the_example_is_a_configuration_with_the_variables_that_compose_gives():
    """No variable is missing, and it is what the page promises: keys, workers, Postgres, Valkey."""
    gateway = COMPOSE["services"]["gateway"]
    given = {name: WANTED.sub("letters", value) for name, value in gateway["environment"].items()}
    loaded = load(EXAMPLE, environment=given)
    config = loaded.config
    assert (config.server.auth, config.server.workers, config.server.host) == ("keys", 2, EVERYWHERE)
    assert config.store == "postgresql://headgate:letters@postgres:5432/headgate"
    assert config.shared == "redis://valkey:6379/0"
    assert config.server.admin_key
    # Whoever is waited for is there, under that name.
    assert {"postgres", "valkey"} <= COMPOSE["services"].keys()
    assert gateway["depends_on"].keys() == {"postgres", "valkey"}


def test_compose_fits_the_container_and_the_example():
    """Folders, ports, time to stop; nothing but the gateway is reachable, and that from this machine alone."""
    gateway = COMPOSE["services"]["gateway"]
    found = dict(instructions(CONTAINERFILE))
    config = Config.model_validate({**yaml.safe_load(EXAMPLE.read_text("utf-8")), "store": "memory://"})
    mounts = dict(mount.split(":")[:2] for mount in gateway["volumes"])
    assert (ROOT / "examples/container/headgate.yaml").samefile(ROOT / next(iter(mounts)))
    assert f"HEADGATE_CONFIG={mounts['./examples/container/headgate.yaml']}" in found["ENV"]
    (volume,) = yaml.safe_load(found["VOLUME"])
    assert mounts["journal"] == volume == found["WORKDIR"]
    assert Path(config.journal.path).is_relative_to(volume)
    assert gateway["ports"] == [f"127.0.0.1:{config.server.port}:{found['EXPOSE']}"]
    assert float(gateway["stop_grace_period"].removesuffix("s")) > config.server.shutdown_grace
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["gateway"]
    named = {mount.split(":")[0] for service in COMPOSE["services"].values() for mount in service.get("volumes", ())}
    assert {name for name in named if not name.startswith(".")} == COMPOSE["volumes"].keys()
    for service in COMPOSE["services"].values():
        assert ":" in service["image"] or "build" in service


def test_the_container_runs_as_nobody_special_and_carries_no_tools():
    """Two stages; the last one has its own user, copies nothing but what was installed, and installs nothing."""
    found = instructions(CONTAINERFILE)
    last = found[max(at for at, (name, _) in enumerate(found) if name == "FROM") :]
    assert dict(last)["USER"] == "10001:10001"
    assert [words for name, words in last if name in {"COPY", "ADD"}] == ["--from=build /opt/headgate /opt/headgate"]
    assert not any("pip" in words or "apt" in words for name, words in last if name == "RUN")
    assert yaml.safe_load(dict(last)["ENTRYPOINT"]) == ["headgate"]
    assert yaml.safe_load(dict(last)["CMD"]) == ["serve", "--host", EVERYWHERE]
    check = yaml.safe_load(dict(last)["HEALTHCHECK"].partition("CMD ")[2])
    compile(check[-1], "health check", "exec")
    assert dict(last)["EXPOSE"] in check[-1]


def test_what_is_copied_is_there_and_is_not_ignored():
    """The first stage gets exactly what `.dockerignore` lets through."""
    through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")
    }  # fmt: skip
    copied = [shlex.split(words)[:-1] for name, words in instructions(CONTAINERFILE) if name == "COPY"]
    assert {word for words in copied for word in words if not word.startswith(("-", "/"))} == through
    assert all((ROOT / name).exists() for name in through)


def test_extras_of_the_container_exist():
    """And they are those that a gateway needs."""
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', CONTAINERFILE)
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(re.search(rf"^{extra} = \[", pyproject, re.MULTILINE) for extra in extras.split(","))


@pytest.mark.parametrize(
    ("wheel", "committed", "wrong"),
    [
        (["headgate/a.py", "headgate-1.dist-info/METADATA"], ["src/headgate/a.py", "docs/a.md"], []),
        (["headgate/a.py"], ["src/headgate/a.py", "src/headgate/b.json"],
         ["headgate/b.json: committed, and not in the wheel"]),
        (["headgate/a.py", "headgate/x.db"], ["src/headgate/a.py"], ["headgate/x.db: in the wheel, and not committed"]),
    ],
)  # fmt: skip
def test_a_wheel_has_what_is_committed(wheel, committed, wrong):
    """No file too few, none too many."""
    assert differences(wheel, committed) == wrong
