"""Once: a call that carries an `Idempotency-Key` is made once, however often it is sent.

`outlive.py` lets such a call go on when its caller leaves; `once.py` has it made (`made.py`), joined or replayed, by
what stands in the store (`record.py`), by what goes on in this process (`flight.py`, `reader.py`), and for as long as
this process is known to live (`owner.py`).
"""
