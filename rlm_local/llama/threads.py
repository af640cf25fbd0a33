"""How many threads a model should compute with.

Threads of one matrix product wait for each other, so one too many costs more than
one too few: a thread without a core of its own holds up all the others.
"""

from __future__ import annotations

import os
from pathlib import Path

SMALL_PARAMETERS = 30_000_000  # below, a step is hardly longer than a wait for other threads,
SMALL_THREADS = 2  # and more than two have not been seen to pay
WINDOW_SECONDS = 0.1  # of decoding, before it is judged
ENOUGH = 0.6  # of the CPU time that the threads could use
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 16.0  # seconds of decoding before the full number is retried
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def default_threads(parameters: int) -> int:
    """The cores that this process may use; for a small model two of them."""
    cores = usable_cores()
    return min(cores, SMALL_THREADS) if parameters < SMALL_PARAMETERS else cores


def usable_cores() -> int:
    """Physical cores among those we may run on, within a container's quota."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    # Two hyperthreads of one core share what a matrix product needs most.
    cores = {_read(Path(_TOPOLOGY.format(cpu))) or str(cpu) for cpu in os.sched_getaffinity(0)}
    return max(1, min(len(cores), quota(_read(_QUOTA))))


def quota(cpu_max: str) -> int:
    """Whole cores that a cgroup's `cpu.max` ("quota period", in µs) leaves."""
    match cpu_max.split():
        case [limit, period] if limit.isdecimal() and period.isdecimal() and int(period):
            return max(1, int(limit) // int(period))
    return os.cpu_count() or 1


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


class Governor:
    """Fewer threads while other programs need the cores, more when they are free.

    Threads that wait for each other use hardly any CPU time (see `spinning`). So where the
    process gets much less of it than its threads could use, some of them have no core, and
    all wait for those. The full number is tried again after a while, then less and less often.
    """

    def __init__(self, most: int) -> None:
        self.threads = most
        self._most = most
        self._wall = 0.0
        self._cpu = 0.0
        self._pause = FIRST_PAUSE
        self._retry_in = 0.0

    def measured(self, wall: float, cpu: float) -> bool:
        """Take note of a batch's wall and CPU seconds; True if `threads` has changed."""
        if self._most == 1:
            return False
        self._wall += wall
        self._cpu += cpu
        if self._wall < WINDOW_SECONDS:
            return False
        wall, cpu, self._wall, self._cpu = self._wall, self._cpu, 0.0, 0.0
        before = self.threads
        self._retry_in -= wall
        if before > 1 and cpu < ENOUGH * before * wall:
            self.threads = max(1, before // 2)
            self._retry_in = self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        elif before == self._most:
            self._pause = FIRST_PAUSE
        elif self._retry_in <= 0:
            self.threads = self._most
        return self.threads != before
