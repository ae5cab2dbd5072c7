"""What all tests share: how hypothesis draws."""

import os

from hypothesis import settings

# Time limits per example belong to pytest's timeout: a machine may be busy. CI draws the same examples every time, so
# that a red run can be repeated; elsewhere each run explores further.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")
