"""Covers stores/jobs.py: which states mean that nothing follows. `contract/test_jobs.py` holds the book itself."""

from headgate.stores.jobs import JobState


def test_which_jobs_are_over():
    """A paused one is, until somebody wants it again; whoever waits must not wait for that."""
    assert [state for state in JobState if not state.over] == [JobState.FILLING, JobState.RUNNING]
