"""The provider's Batch API: half the price, within a day, and nothing lost or paid twice on the way.

`wire.py` speaks the API through the gate, `packing.py` makes files of rows, `cycle.py` is the life of one batch in
steps that can be taken up again anywhere, `lane.py` sends the rows of a job that way, `jobs.py` tells how jobs stand.
"""
