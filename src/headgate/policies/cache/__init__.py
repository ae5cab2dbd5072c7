"""Cache: a question that was answered is not asked again, and one that is being asked is asked once.

`cache.py` is the policy. `naming.py` says which questions are the same, and for whom; `flight.py` is one question under
way, with everybody who waits for its answer (`reader.py`); `record.py` is what is kept of it.
"""
