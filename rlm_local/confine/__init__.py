"""The second wall: the process that runs guests gives up what it will not need.

WebAssembly is the first wall. Should code get out of it, through a fault in wasmtime
or in our own host functions, it is in a process that can read and write only where
this run reads and writes, start no program by its path but its own Python, and open no socket
(but, where a run asks a server, of TCP to that server's port).
The kernel holds that: Landlock for files and TCP, seccomp for system calls; root's
capabilities are given up. None of it can be taken back, and every child process
inherits it, so the worker that parses a model's file is confined too.

What the kernel lacks is left out, and `Wall` says so: confinement never fails a run.
docs/security.md has the reasons, and what this does not cover.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from rlm_local.confine import capabilities, landlock, places, seccomp
from rlm_local.confine.kernel import Unavailable
from rlm_local.records import Record

#: Set to "off", it leaves the process as it is.
VARIABLE = "RLM_LOCAL_CONFINE"


class Wall(Record, frozen=True):
    """What holds now. `landlock` is the version of its interface, 0 where it does not hold;
    `missing` says for each part that does not hold why not."""

    landlock: int
    seccomp: bool
    missing: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.missing

    def __str__(self) -> str:
        parts = [f"Landlock {self.landlock}"] if self.landlock else []
        parts += ["seccomp"] if self.seccomp else []
        return "; ".join(filter(None, [" and ".join(parts), *self.missing]))


def confine_process(
    *,
    readable: Iterable[Path] = (),
    writable: Iterable[Path] = (),
    ports: Collection[int] = (),
    drivers: bool = False,
) -> Wall:
    """Confine this process, and all that it will start, for good. What holds comes back.

    Files and folders can be read beneath `readable`, `writable` and where programs
    and their settings lie (see `places`), and written beneath `writable`; what is
    open already stays so. No sockets are made, no programs run but this Python.
    With `ports`, TCP connections to these are possible, to any host: the kernel looks
    at no more (and where it has no Landlock 4, not at the port either).
    With `drivers`, what CUDA starts nowhere without: local sockets that nobody comes in by, and
    names for threads (`places.proc_is_harmless` says where not).
    Call it before threads are started: Landlock holds for the calling thread and
    those that it will start.
    """
    missing: list[str] = []
    if os.environ.get(VARIABLE) == "off":
        return Wall(landlock=0, seccomp=False, missing=(f"{VARIABLE} is off",))
    if sys.platform != "linux":
        return Wall(landlock=0, seccomp=False, missing=(f"it is not known on {sys.platform}",))
    # A dump would hold the prompt, in a place of the system's choosing.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    version = 0
    try:
        allowed = places.rules(readable=readable, writable=writable, drivers=drivers)
        version = landlock.restrict(allowed, ports=ports)
    except Unavailable as error:
        missing.append(f"no Landlock: {error}")
    try:
        capabilities.drop()
    except Unavailable as error:
        missing.append(f"capabilities stay: {error}")
    others = _other_threads()
    if ports and 0 < version < landlock.NETWORK_SINCE:
        missing.append(f"Landlock {version} knows no ports: any can be connected to")
    if version and others:
        missing.append(f"Landlock leaves out {others} threads that were there before")
    filtered = False
    try:
        seccomp.install(tcp=bool(ports), drivers=drivers)
        filtered = True
    except Unavailable as error:
        missing.append(f"no seccomp: {error}")
    return Wall(landlock=version, seccomp=filtered, missing=tuple(missing))


def _other_threads() -> int:
    try:
        return len(os.listdir("/proc/self/task")) - 1
    except OSError:
        return threading.active_count() - 1


__all__: Sequence[str] = ["VARIABLE", "Wall", "confine_process"]
