"""One rule, one file; none knows another. `gate/stack.py` is the page that puts them in order."""
