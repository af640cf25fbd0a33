"""Settings for every test."""

from __future__ import annotations

from hypothesis import settings

# Examples are not timed: these machines are shared, and time is the benchmarks' matter.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
