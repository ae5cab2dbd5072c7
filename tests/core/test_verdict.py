"""What is told of words, without the words."""

from headgate.core.verdict import Verdict, told


def test_a_rule_is_told_once():
    """A header names each rule once, in the order in which they spoke."""

    def said(rule, action):
        return Verdict(approved=True, reason="r", rule=rule, layer="words", side="input", action=action)

    assert told([said("a", "flag"), said("b", "mask"), said("a", "flag")]) == "flag input a, mask input b"
