"""Settings for every test."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Examples are not timed: these machines are shared, and time is the benchmarks' matter.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would the
# commands that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def private_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of the tests are not the user's runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_LOCAL_DATA", str(tmp_path_factory.mktemp("data")))
        yield
