"""kill -9 of a whole process at random moments, then a resume by another one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from rlm_local.records import Answer, Event, Resumed
from rlm_local.runs import EVENTS, RunStore
from tests import durable
from tests.test_resume import Whole, check_same, on_record

PATIENCE_SECONDS = 600


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.durable", *arguments]


def finish(*arguments: str) -> Answer:
    """Run a command to its end."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=Answer)


def kill(data: Path, share: float, whole_seconds: float, *arguments: str) -> bool:
    """Start a command and kill it when it has written for that share of the time it takes.

    False if it was through before.
    """
    before = size_of_record(data)
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process, process.stderr:
        patience = time.monotonic() + PATIENCE_SECONDS
        while size_of_record(data) == before and process.poll() is None:
            assert time.monotonic() < patience
            time.sleep(0.001)
        time.sleep(share * whole_seconds)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        return process.returncode == -signal.SIGKILL


def size_of_record(data: Path) -> int:
    return sum(path.stat().st_size for path in (data / "runs").glob(f"*/{EVENTS}"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Whole, float]:
    """The run that is not killed, and how long it takes."""
    data = tmp_path_factory.mktemp("whole")
    (data / "lines.txt").write_text(durable.TEXT)
    answer = finish("ask", str(data), str(data / "lines.txt"))
    events = RunStore(data / "runs").read(answer.run_id).events
    paid = (data / "paid").read_text().splitlines()
    return Whole(answer, events, paid), answer.usage.seconds


def paid_since(data: Path, lines: int) -> list[str]:
    return (data / "paid").read_text().splitlines()[lines:]


def kill_and_resume(data: Path, whole: Whole, seconds: float, chance: random.Random) -> int:
    """Kill a run, perhaps its resumption too, and let it come to its end; how many kills."""
    prompt = data / "lines.txt"
    prompt.write_text(durable.TEXT)
    store = RunStore(data / "runs")
    kills = int(kill(data, chance.random(), seconds, "ask", str(data), str(prompt)))
    [run_id] = store.ids()
    events: tuple[Event, ...] = store.read(run_id).events
    while True:
        lines = len(paid_since(data, 0))
        if chance.random() < 0.25:
            killed = kill(data, chance.random(), seconds, "resume", str(data), str(prompt), run_id)
            kills += killed
            if not killed:
                break
        else:
            try:
                finish("resume", str(data), str(prompt), run_id)
            except AssertionError as error:
                if "has ended: answered" not in str(error):
                    raise
            break
        assert not on_record(events) & set(paid_since(data, lines))
        events = store.read(run_id).events
    assert not on_record(events) & set(paid_since(data, lines))
    record = store.read(run_id)
    answer = record.events[-1].answer  # type: ignore[union-attr]
    times = sum(isinstance(event, Resumed) for event in record.events)
    store.collect()  # it may have been killed between its end and the removal of checkpoints
    check_same(store, run_id, answer, whole, times)
    return kills


def test_killed_at_a_few_moments(tmp_path: Path, whole: tuple[Whole, float]):
    chance = random.Random(os.environ.get("KILL_SEED", "1"))
    for number in range(3):
        data = tmp_path / str(number)
        data.mkdir()
        kill_and_resume(data, *whole, chance)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_200_moments(tmp_path: Path, whole: tuple[Whole, float]):
    chance = random.Random(os.environ.get("KILL_SEED", "2"))
    kills = number = 0
    while kills < 200:
        data = tmp_path / str(number)
        data.mkdir()
        kills += kill_and_resume(data, *whole, chance)
        number += 1
    print(f"{kills} kills of {number} runs")
