"""Door 1: the gate inside a Python process.

Builds calls, sends them through the Gate, presents the replies. It knows no rule: what happens to a call between here
and the provider stands in `gate/stack.py`.
"""
