"""Settings for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

# Examples are not timed: these machines are shared, and time is the benchmarks' matter.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.fixture(autouse=True, scope="session")
def private_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of the tests are not the user's runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_LOCAL_DATA", str(tmp_path_factory.mktemp("data")))
        yield
