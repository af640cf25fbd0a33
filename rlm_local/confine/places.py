"""Where a confined process may read and write, beside what its run is about.

Programs, libraries and their settings, never anyone's documents: no home, no mail,
no other program's data. A place that is missing here costs a feature (a driver that
is not found), so whole trees of the system are listed rather than single files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlm_local.confine.landlock import READ, RUN, USE_DEVICE, WRITE, Right, Rule

#: Programs, libraries and what the kernel tells of itself.
_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/opt", "/nix/store", "/gnu/store",
    "/run/opengl-driver", "/proc", "/sys",
)  # fmt: skip
#: What the C library, Python and drivers look up. Nothing else of /etc: it has secrets.
_SETTINGS = (
    "ld.so.cache", "ld.so.preload", "localtime", "timezone", "os-release", "locale.conf",
    "nsswitch.conf", "passwd", "group", "gai.conf", "ssl/openssl.cnf", "terminfo", "OpenCL",
    "vulkan", "alternatives", "python3",
)  # fmt: skip
PACKAGE = Path(__file__).resolve().parents[1]
_DEV, _PROC = Path("/dev"), Path("/proc")
_DEVICES = (
    "null", "zero", "full", "random", "urandom", "tty", "pts",
    # of GPUs: NVIDIA's, on boards too, then what others use
    "nvidia*", "nvhost*", "nvmap", "dri", "kfd", "dxg",
)  # fmt: skip


def rules(
    *, readable: Iterable[Path], writable: Iterable[Path], drivers: bool = False
) -> Iterator[Rule]:
    """All that is allowed. `drivers` of GPUs may name their threads as well."""
    for path in (*map(Path, _SYSTEM), *(Path("/etc", name) for name in _SETTINGS)):
        yield Rule(path, READ)
    for path in (PACKAGE, *_python_folders(), *readable):
        yield Rule(path, READ)
    yield Rule(PACKAGE.parent, Right.READ_DIR)  # where a checkout's package is found by name
    for path in _programs():
        yield Rule(path, RUN)
    if drivers and proc_is_harmless():
        yield Rule(_PROC, READ | Right.WRITE_FILE)
    for name in _DEVICES:
        for path in _DEV.glob(name):
            yield Rule(path, USE_DEVICE)
    for path in writable:
        yield Rule(path, WRITE)


def proc_is_harmless() -> bool:
    """Whether we could change nothing of the machine's beneath /proc, which is root's to change.

    CUDA starts nowhere where it cannot name its threads, by a file there of each process. What
    lies there of the user's other processes is little, and Landlock keeps their memory shut.
    Containers have what is the machine's read-only.
    """
    return os.geteuid() != 0 or all(map(_read_only, (_PROC / "sys", _PROC / "sysrq-trigger")))


def _read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except FileNotFoundError:
        return True


def _python_folders() -> Iterator[Path]:
    """Where modules are imported from, by this process and by those that it starts.

    The folder that the program was started in is none of them, even where it is on
    the path: it may be anyone's home.
    """
    here = Path.cwd()
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path}
    places |= set(os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    for place in sorted(filter(None, places)):
        path = Path(place)
        if path != here and path != Path("/") and path != Path.home():
            yield path


def _programs() -> Iterator[Path]:
    """This Python, and the loader that starts it: the worker is another one."""
    for name in {sys.executable, getattr(sys, "_base_executable", "")}:
        if name:
            yield Path(name)
    try:
        mapped = Path("/proc/self/maps").read_text().split()
    except OSError:
        return
    for name in set(mapped):
        if name.startswith("/") and Path(name).name.startswith(("ld-", "ld.so")):
            yield Path(name)
