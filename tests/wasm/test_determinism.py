"""Two forks with one seed do the same; no clock or randomness of the host reaches them."""

from __future__ import annotations

import time

from tests.wasm.conftest import Fork, Guest

LOOKS = """
import random, time, uuid, os, datetime, secrets, tempfile
class Thing: pass
(
    random.random(), random.getrandbits(64), uuid.uuid4().hex, os.urandom(8).hex(),
    secrets.token_hex(4), hash("text"), hash(("a", 1.5, None)), {"b", "a", "c", "d"},
    time.time(), time.monotonic(), time.perf_counter_ns(), time.process_time(),
    datetime.datetime.now().isoformat(), id(Thing()) % 64, time.localtime().tm_zone,
)
"""


def test_forks_of_one_seed_see_the_same_world(fork: Fork) -> None:
    first = fork("text", seed=5).value(LOOKS)
    time.sleep(0.01)
    second = fork("text", seed=5).value(LOOKS)
    assert first == second


def test_forks_of_other_seeds_draw_other_numbers(fork: Fork) -> None:
    code = "import random, os, uuid; random.random(), os.urandom(8), uuid.uuid4()"
    assert len({fork("text", seed=seed).value(code) for seed in range(4)}) == 4


def test_a_fresh_fork_after_a_stop_begins_anew(guest: Guest) -> None:
    code = "import random, time; random.random(), time.time()"
    before = guest.value(code)
    guest.run("import os; os.abort()")
    assert guest.value(code) == before


def test_time_starts_at_a_fixed_date_and_goes_on(guest: Guest) -> None:
    assert guest.value("import datetime; str(datetime.datetime.now())[:19]") == (
        "'2026-01-01 00:00:00'"
    )
    assert guest.value("import time; a = time.monotonic(); b = time.monotonic(); b > a") == "True"


def test_sleeping_takes_no_time_but_moves_the_clock(guest: Guest) -> None:
    guest.run("import time; before = time.time()")
    started = time.monotonic()
    guest.run("time.sleep(3600)")
    assert time.monotonic() - started < 1
    assert guest.value("3600 <= time.time() - before < 3601") == "True"


def test_sleeping_for_ages_is_bounded(guest: Guest) -> None:
    code = "import time\nfor _ in range(10): time.sleep(10**9)\ntime.time() < 2**34"
    assert guest.value(code) == "True"
