"""How complaints read."""

from headgate.gate.problems import Places, Problem, dotted, masked, nearest, refusal, shown

PLACES = Places(
    source="headgate.yaml",
    lines={("server",): 3, ("server", "port"): 4},
    variables={("shared",): "REDIS_CACHE_URL", ("budgets", 0): "OPENAI_DAILY_BUDGET_USD"},
)


def test_a_path_is_written_as_people_write_it():
    """Names are joined by dots and places in a list stand in brackets."""
    assert dotted(("models", "fast", "targets", 2, "provider")) == "models.fast.targets[2].provider"


def test_one_complaint_is_a_sentence_and_a_hint():
    """File, line and setting begin the sentence; the cure is the error's hint."""
    error = refusal([Problem(path=("server", "port"), text="is 'x'.", hint="Write a number.")], PLACES)
    assert error.message == "headgate.yaml:4: `server.port` is 'x'."
    assert error.hint == "Write a number."


def test_several_complaints_make_one_list():
    """Every complaint has its line; hints that differ stand beside their complaints."""
    problems = [
        Problem(path=("server", "host"), text="is missing."),
        Problem(path=("shared",), text="is no address.", hint="Look at it."),
    ]
    error = refusal(problems, PLACES)
    assert error.message.splitlines() == [
        "2 settings cannot be used:",
        "  - headgate.yaml:3: `server.host` is missing.",
        "  - REDIS_CACHE_URL (`shared`) is no address. Look at it.",
    ]
    assert error.hint == ""


def test_a_hint_that_all_share_is_said_once():
    """The joint hint is the error's own."""
    problems = [Problem(path=("server", part), text="is odd.", hint="Leave it out.") for part in ("host", "port")]
    error = refusal(problems, PLACES)
    assert error.hint == "Leave it out."
    assert "Leave" not in error.message


def test_one_variable_is_complained_about_once():
    """A variable that fills many settings makes one complaint, and the first stands."""
    problems = [Problem(path=("shared", part), text=f"is {part}.") for part in ("a", "b")]
    assert refusal(problems, PLACES).message == "REDIS_CACHE_URL (`shared.a`) is a."


def test_a_complaint_without_a_setting_names_only_its_variable():
    """Where the path tells nothing, the variable does."""
    problem = Problem(path=(), text="is 3.", variable="OPENAI_TIMEOUT")
    assert refusal([problem], PLACES).message == "OPENAI_TIMEOUT is 3."


def test_makers_are_named_only_where_the_file_is_not_at_fault():
    """A setting of the file has no makers, a part made by a variable has, a part inside a made one too."""
    assert PLACES.makers(("server",)) == []
    assert PLACES.makers(("budgets",)) == ["OPENAI_DAILY_BUDGET_USD"]
    assert PLACES.makers(("budgets", 0, "name")) == ["OPENAI_DAILY_BUDGET_USD"]
    assert PLACES.line(("nowhere",)) is None


def test_the_nearest_name_is_offered_or_none():
    """Case does not matter; a name unlike all others gets no hint."""
    assert nearest("Timout", ["timeout", "type"]) == "Did you mean `timeout`?"
    assert nearest("zzz", ["timeout"]) == ""


def test_addresses_lose_their_user_and_password():
    """Whatever stands before the last @ of an address is hidden."""
    assert masked("postgresql://me:p@ss/word@host/db") == "postgresql://***@host/db"
    assert masked("https://host/v1") == "https://host/v1"


def test_what_might_be_a_credential_is_never_shown():
    """Texts that look like keys are hidden, collections are only named, long texts are cut."""
    for text in ("sk-live-1", "hg-abc", "Bearer xyz", "a1" * 20, "eyJhbGciOi"):
        assert shown(text) == "'***'"
    assert shown({"api_key": "x"}) == "a mapping"
    assert shown(["x"]) == "a list"
    assert shown("redis://:pw@h") == "'redis://***@h'"
    assert shown("x" * 100) == repr("x" * 60 + "…")
    assert [shown(value) for value in (True, False, None, 7)] == ["true", "false", "empty", "7"]
