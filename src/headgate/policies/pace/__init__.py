"""Pace: one rule in several files. `pace.py` is the policy; `gauge.py` is what the targets of one limit share."""
