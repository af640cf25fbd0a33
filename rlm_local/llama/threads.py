"""How many threads a model should compute with.

Threads of one matrix product wait for each other, so one too many costs more than
one too few: a thread without a core of its own holds up all the others.
"""

from __future__ import annotations

import os
from pathlib import Path

SMALL_PARAMETERS = 30_000_000  # below, a step is shorter than the wait for other threads
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def default_threads(parameters: int) -> int:
    """One for a small model; else the cores that this process may use."""
    return 1 if parameters < SMALL_PARAMETERS else usable_cores()


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
