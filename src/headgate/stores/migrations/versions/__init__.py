"""One module per revision, `rNNNN.py`. A revision that was released is never changed."""
