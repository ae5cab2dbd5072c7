"""What a configuration file may say."""

import os
import threading
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import ConfigError
from headgate.gate.document import MAX_BYTES, read


@pytest.fixture
def said(tmp_path):
    """Write a file and read it."""

    def write(text):
        file = tmp_path / "c.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(file)

    return write


def _one(document):
    (problem,) = document.problems
    return problem


def test_a_file_becomes_data_with_lines(said):
    """Values have their YAML types; every setting and every entry of a list has its line."""
    document = said("\ufeff# c\na: 1\nb:\n  - {c: x, d: 2027-06-30}\n  - 1.5\ne: [true, null]\n")
    assert document.data == {"a": 1, "b": [{"c": "x", "d": date(2027, 6, 30)}, 1.5], "e": [True, None]}
    assert document.lines["b", 0, "c"] == 4
    assert document.lines["b", 1] == 5
    assert document.problems == []


def test_an_empty_file_says_nothing(said):
    """Nothing but comments is an empty configuration."""
    assert said("# nothing\n").data == {}


def test_a_missing_file_names_itself(tmp_path):
    """The error names the file and the reason; a folder is no file either."""
    with pytest.raises(ConfigError, match=r"none\.yaml: the configuration file cannot be read: No such file") as error:
        read(tmp_path / "none.yaml")
    assert "HEADGATE_CONFIG" in error.value.hint
    with pytest.raises(ConfigError, match="Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a: 1\nb: \xff", r"c\.yaml:2: the file is not UTF-8"),
        ("- a", "must hold a mapping"),
        ("text", "must hold a mapping"),
        ("a: 1\n---\nb: 2", r"c\.yaml:2: not valid YAML: but found another document"),
        ("a: [", "not valid YAML"),
        ("a: 1\nb: \x07", r"c\.yaml:2: a character that YAML does not allow \(#x0007\)"),
        ("a: &x 1\nb: *x", r"c\.yaml:2: not valid YAML: aliases"),
        ("a: &x [*x]", "aliases"),
        ("a: " + "[" * 60 + "]" * 60, "nested too deeply"),
        ("a: " + "{a: " * 60 + "}" * 60, "nested too deeply"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("#" * (MAX_BYTES + 1), "larger than 1000000 bytes"),
    ],
)
def test_what_is_not_one_plain_mapping_is_refused(said, text, words):
    """Each kind of broken file has its own words, with the line where there is one."""
    with pytest.raises(ConfigError, match=words):
        said(text)


def test_a_tab_and_a_bare_reference_have_their_cure(said):
    """The two slips that YAML words badly come with a hint."""
    with pytest.raises(ConfigError) as error:
        said("a:\n\tb: 1")
    assert error.value.hint == "Indent with spaces, not tabs."
    with pytest.raises(ConfigError) as error:
        said("a: {b: ${X}}")
    assert error.value.hint == "Inside `{…}`, put `${NAME}` in quotes."


def test_an_excerpt_of_the_file_is_never_shown(said):
    """The parser's own excerpt might hold a credential."""
    with pytest.raises(ConfigError) as error:
        said('api_key: "correct horse\nb: [}')
    assert "horse" not in error.value.message


def test_a_key_that_stands_twice_is_refused(said):
    """Both lines are named; two values for one setting are never silently one."""
    problem = _one(said("a:\n  b: 1\n  c: 2\n  b: 3"))
    assert (problem.path, problem.line) == (("a", "b"), 4)
    assert problem.text == "stands twice, first in line 2."


@pytest.mark.parametrize("text", ["4.1: x", "on: x", "2027-01-01: x", "? [a]\n: x", "<<: {a: 1}"])
def test_a_key_is_text(said, text):
    """A number, a truth, a date, a list and a merge are no names."""
    problem = _one(said(text))
    assert problem.text == "stands where a name must stand."
    assert "quotes" in problem.hint


@pytest.mark.parametrize("value", ["010", "1:30", "0x1F", "0b1", "1:30.5"])
def test_numbers_that_yaml_reads_otherwise_are_refused(said, value):
    """YAML 1.1 would make 8 of 010 and 90 of 1:30."""
    assert "unusual notation" in _one(said(f"a: {value}")).text


@pytest.mark.parametrize(
    ("value", "number"), [("-3", -3), ("1_000", 1000), ("0.5", 0.5), (".5", 0.5), ("1.5e+3", 1500.0)]
)
def test_plain_numbers_are_numbers(said, value, number):
    """Decimal notation is taken as it is meant."""
    assert said(f"a: {value}").data == {"a": number}


@pytest.mark.parametrize("value", ["2027-13-45", "9" * 5000])
def test_values_that_do_not_exist_are_refused(said, value):
    """A date outside the calendar and a number beyond all bounds are complaints, not crashes."""
    assert "neither a number nor a date" in _one(said(f"a: {value}")).text


def test_a_moment_stays_text(said):
    """No setting takes a time of day, so the text goes on to the schema as it stands."""
    assert said("a: 2027-06-30 10:00:00").data == {"a": "2027-06-30 10:00:00"}


@pytest.mark.parametrize("value", ["!!python/object/apply:os.system [x]", "!!binary aGk=", "!mine x", "!!set {a: }"])
def test_no_tag_builds_an_object(said, value):
    """Only plain values are taken."""
    assert "YAML tag" in _one(said(f"a: {value}")).text


@given(st.text(alphabet="ab:-[]{}\"'&*!|>#%@?, \n\t0.", max_size=60))
def test_any_text_is_data_or_a_config_error(tmp_path_factory, text):
    """Nothing that can be written makes anything but a mapping or one clear error."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text)
    try:
        found = read(file).data
    except ConfigError as error:
        found = {"refused": error.message}
    assert isinstance(found, dict)
    assert str(file) in found.get("refused", str(file))


def test_a_pipe_is_read_and_never_waited_for(tmp_path):
    """What somebody has written comes out; where nobody writes, that is said."""
    file = tmp_path / "c.yaml"
    os.mkfifo(file)
    with pytest.raises(ConfigError, match="nothing comes out of it"):
        read(file)
    inner, outer = os.pipe()
    with os.fdopen(inner), os.fdopen(outer, "wb") as writer:
        later = threading.Timer(0.05, lambda: (writer.write(b"a: 1\n"), writer.close()))
        later.start()
        assert read(Path(f"/dev/fd/{inner}")).data == {"a": 1}
        later.join()
    assert read(Path(os.devnull)).data == {}
