"""What rules look for, and for whom they hold."""

from headgate.policies.guard.rules import Chains, Rule, complaints, looks_for


def test_a_word_is_found_as_a_word():
    """Edges where letters stand; any space is space; signs are themselves."""
    sources = [pattern.source for pattern in looks_for(Rule(kind="words", name="w", words=("a b", "c++", "über")))]
    assert sources == [r"\ba\s{1,8}b\b", r"\bc\+\+", r"über\b"]


def test_models_with_the_same_rules_share_a_chain():
    """A rule for some names is in their chains only."""
    every = Rule(kind="words", name="e", words=("x",))
    some = Rule(kind="words", name="s", words=("y",), models=frozenset(("a", "b")))
    chains = Chains({"input": [every, some], "output": [some]})
    assert chains.of("input", "a") is chains.of("input", "b") is not chains.of("input", "other")
    assert chains.of("output", "other") is None
    chain = chains.of("input", "other")
    assert chain is not None
    assert chain.flat.owners == (every,)


def test_complaints_name_the_pattern():
    """A bound is asked for only where a stream flows."""
    rule = Rule(kind="patterns", name="p", patterns=("ok", "a+", "("))
    assert [(one.number, one.endless) for one in complaints(rule, "output")] == [(1, True), (2, False)]
    assert [one.number for one in complaints(rule, "input")] == [2]
