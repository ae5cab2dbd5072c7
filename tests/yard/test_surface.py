"""What `import headgate` gives, and what it costs."""

import subprocess
import sys

import headgate
from headgate import types
from headgate.core import errors

HEADGATE = errors.HeadgateError
HEAVY = ["fastapi", "genai_prices", "sqlalchemy", "openai", "typer", "uvicorn"]


def test_few_names_and_all_of_them_there():
    """At most 20 public names, none twice; each can be imported."""
    assert 0 < len(headgate.__all__) <= 20
    assert sorted(headgate.__all__) == sorted(set(headgate.__all__))
    assert [name for name in headgate.__all__ if not hasattr(headgate, name)] == []


def test_importing_everything_public_stays_light():
    """Neither FastAPI nor the price data nor a database toolkit is loaded before it is used."""
    script = f"import sys; from headgate import *; print(*sorted(sys.modules.keys() & set({HEAVY})))"
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.stderr) == ("", "")


def test_every_error_of_the_one_table_can_be_caught_by_name():
    """`headgate.types` has them all: what a page says to catch can be imported."""
    known = {name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, HEADGATE)}
    assert {"GuardError", "OverBudgetError", "OutcomeUnknownError"} <= known
    assert known - set(types.__all__) == set()
    assert [name for name in types.__all__ if not hasattr(types, name)] == []


def test_every_public_name_says_what_it_is():
    """Each public class and function has a docstring."""
    public = [getattr(headgate, name) for name in headgate.__all__]
    assert [thing.__name__ for thing in public if callable(thing) and not thing.__doc__] == []
