"""Hostile cells and interrupts at random, in several threads: nothing leaks, nothing hangs."""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
import time

import pytest

from tests.attacks import (
    test_host_calls,
    test_memory,
    test_output,
    test_stack,
    test_text,
    test_time,
)
from tests.attacks.suite import Forks
from tests.wasm.conftest import Guest

SEED = 20_26
SECONDS = 40.0
THREADS = 3
#: No cell asks for more than this; the rest is the machine being busy with the others.
LONGEST_SECONDS = 0.5 + 2.0

CODES = [
    case.code
    for case in (
        *test_memory.CASES,
        *test_time.SOFT,
        *test_time.HARD,
        *test_stack.CASES,
        *test_text.CASES,
        *test_host_calls.CASES,
        *test_output.CASES,
    )
    if not case.poisons
]


def cells(guest: Guest, chance: random.Random, end: float, slow: list[tuple[str, float]]) -> None:
    while time.monotonic() < end:
        code = chance.choice(CODES)
        timer = threading.Timer(chance.random() / 5, guest.repl.interrupt)
        if chance.random() < 0.3:
            timer.start()
        began = time.monotonic()
        guest.run(
            code,
            cell_seconds=chance.choice([0.001, 0.02, 0.2]),
            wall_seconds=chance.choice([-1.0, 0.05, 0.5]),
        )
        taken = time.monotonic() - began
        if taken > LONGEST_SECONDS:
            slow.append((code, taken))
        timer.cancel()


def open_files() -> int:
    """How many there are, less those that only wait for the garbage collector."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_storm_of_attacks(fork: Forks) -> None:
    guests = [fork("text " * 1000) for _ in range(THREADS)]
    for guest in guests:
        guest.run("1 + 1")
    files = open_files()
    print(f"seed {SEED}")
    slow: list[tuple[str, float]] = []
    end = time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=cells, args=(guest, random.Random(SEED + n), end, slow))
        for n, guest in enumerate(guests)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not slow
    for guest in guests:
        guest.run("import os; os._exit(0)")  # whatever the storm left of it
        assert guest.value("len(context), 6 * 7") == "(5000, 42)"
        guest.repl.close()
    assert open_files() <= files
    assert not [thread for thread in threading.enumerate() if thread.name == "guest"]
