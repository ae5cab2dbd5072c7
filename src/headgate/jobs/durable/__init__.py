"""Jobs that outlive the process that began them: rows in shards, done by as many workers as there are.

`desk.py` is what people and programs ask; `worker.py` does the work, of which one process has one. What workers need to
know stands in the store (`stores/jobs.py`); the queue is DBOS's (`runtime.py`).
"""
