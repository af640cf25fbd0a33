"""The guest under test is the one that this checkout's sources give, from the build cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlm_local.wasm import guest
from tests.sandbox_wasm.bare import BareGuest

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox_wasm"
sys.path.insert(0, str(SANDBOX))


@pytest.fixture(scope="session")
def guest_path() -> Path:
    import build

    return build.build(source_path=None, build_python="auto", jobs=os.cpu_count() or 1)


@pytest.fixture(scope="session")
def compiled(guest_path: Path) -> guest.Guest:
    return guest.load(guest_path)


@pytest.fixture
def start(compiled: guest.Guest) -> Iterator[Callable[..., BareGuest]]:
    """Starts guests, with `memory_bytes` as their limit and a function for host calls."""
    started: list[BareGuest] = []

    def start(**options: object) -> BareGuest:
        started.append(BareGuest(compiled, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def bare(start: Callable[..., BareGuest]) -> BareGuest:
    """A guest after init and an empty setup."""
    one = start()
    assert one.setup() is None
    return one
