"""Covers stores/migrations/versions/r0001.py: the first of all revisions."""

from headgate.stores.migrations.versions import r0001


def test_it_is_the_first():
    """It follows none."""
    assert (r0001.revision, r0001.down_revision) == ("0001", None)
