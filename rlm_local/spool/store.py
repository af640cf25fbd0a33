"""The folders of the spool: found again, locked while in use, evicted when space runs out.

Whoever uses a folder, writing or reading, holds a shared lock on its `lock`
file; whoever removes one takes that lock alone first. So a folder in use is
never removed, and what a crash left behind is known by its free lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from rlm_local.closing import Closing
from rlm_local.errors import PromptError
from rlm_local.paths import size_of
from rlm_local.spool.files import DiskFullError, spool_errors

#: Spools beyond this many bytes are removed, least recently used first.
STORE_BYTES = 16 << 30

#: So are those beyond this number: `evict` looks at each, whenever one is added.
STORE_SPOOLS = 200

_LOCK = "lock"
_DRAFT = "draft-"
_DOOMED = "doomed-"
_KEY = re.compile("[0-9a-f]{32}")


class Lease(Closing):
    """The use of a spool's folder, until it is closed. `temporary`: it goes with its user.

    It belongs to the process that made it: closed in a fork of that, it leaves
    the folder and its lock alone.
    """

    def __init__(self, folder: Path, lock: int, *, temporary: bool = False) -> None:
        self.folder = folder
        self.temporary = temporary
        self._lock = lock
        self._process = os.getpid()

    def close(self) -> None:
        """Give the folder up. Closing twice is harmless."""
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        if os.getpid() == self._process:
            if self.temporary:
                shutil.rmtree(self.folder, ignore_errors=True)  # what stays is evicted later
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough: a fork may share the file
        os.close(lock)


class Store:
    """All spools below `root`. Their names, keys, are 32 hexadecimal digits.

    `limit_bytes` bounds the disk space they take, as far as they are not in use.
    """

    def __init__(self, root: Path, *, limit_bytes: int = STORE_BYTES) -> None:
        self._root = root
        self._limit_bytes = limit_bytes

    def find(self, key: str) -> Lease | None:
        """The finished spool `key`, marked as used now, if there is one."""
        lock = _lock(self._root / key, fcntl.LOCK_SH)
        if lock is None:
            return None
        os.utime(lock)
        return Lease(self._root / key, lock)

    def remove(self, key: str) -> None:
        """Remove the spool `key`, unless it is in use."""
        with spool_errors(self._root / key):
            _evict(self._root / key)

    def draft(self) -> Lease:
        """A new, empty, temporary folder."""
        while True:
            with spool_errors(self._root):
                folder = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self._root))
                try:
                    os.close(os.open(folder / _LOCK, os.O_CREAT | os.O_CLOEXEC, 0o600))
                except FileNotFoundError:  # someone's `evict` was quicker
                    continue
            lock = _lock(folder, fcntl.LOCK_SH)
            if lock is not None:  # else likewise
                return Lease(folder, lock, temporary=True)

    def keep(self, draft: Lease, key: str) -> None:
        """Make a finished draft last, as `key`.

        If someone else has finished the same spool meanwhile, the draft stays
        what it is: equal, and temporary.
        """
        folder = self._root / key
        with spool_errors(folder):
            try:
                draft.folder.rename(folder)
            except FileExistsError:
                return
            except OSError as error:
                if error.errno == errno.ENOTEMPTY:
                    return
                raise
        draft.folder = folder
        draft.temporary = False

    def full(self, wanted: int = 0) -> DiskFullError:
        """The error of a disk that is full, with its figures. `wanted`: bytes of the sources."""
        disk = os.statvfs(self._root)
        needs = f", and the prompt takes {wanted:,} or more" if wanted else ""
        return DiskFullError(
            f"the disk is full: {disk.f_bavail * disk.f_frsize:,} bytes are free in "
            f"{self._root}{needs}",
            hint="free some space, or name a folder on another disk with RLM_LOCAL_CACHE",
        )

    def evict(self, limit_bytes: int | None = None) -> int:
        """Remove what crashes left, and what is beyond the limit; the number of bytes freed.

        The least recently used go first, and none that is in use.
        """
        limit = self._limit_bytes if limit_bytes is None else limit_bytes
        freed = 0
        spools = []
        with spool_errors(self._root):
            for folder in self._root.iterdir():
                if folder.name.startswith(_DOOMED):
                    shutil.rmtree(folder, ignore_errors=True)
                elif folder.name.startswith(_DRAFT):
                    freed += _evict(folder) or 0
                elif _KEY.fullmatch(folder.name):  # nothing else is ours
                    spools.append((_last_used(folder), size_of(folder, on_disk=True), folder))
        count, kept = len(spools), sum(size for _, size, _ in spools)
        for _, size, folder in sorted(spools):
            if kept <= limit and count <= STORE_SPOOLS:
                break
            if _evict(folder) is not None:
                count -= 1
                kept -= size
                freed += size
        return freed


def _lock(folder: Path, operation: int) -> int | None:
    """Lock a spool's folder; the lock's descriptor, or None if it is not there or not free."""
    path = folder / _LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, operation)
        if os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):  # in use; removed while we waited
        pass
    except OSError as error:
        os.close(lock)
        raise PromptError(
            f"the spool {path.parent} cannot be locked: {error.strerror}",
            hint="name a folder on a local disk with RLM_LOCAL_CACHE",
        ) from error
    os.close(lock)
    return None


def _evict(folder: Path) -> int | None:
    """Remove a spool's folder; the number of bytes freed, or None if it is in use."""
    lock = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        # In use, or without a lock: one that is only just being made, or was never finished.
        with suppress(OSError):
            folder.rmdir()  # if it is empty
        return None
    try:
        size = size_of(folder, on_disk=True)
        # A name of its own: one of this key before it may still be on its way out.
        doomed = folder.with_name(f"{_DOOMED}{secrets.token_hex(8)}")
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        return size
    finally:
        os.close(lock)


def _last_used(folder: Path) -> int:
    """When a spool was last opened, in ns since the epoch; 0 if that is not known."""
    try:
        return (folder / _LOCK).stat().st_mtime_ns
    except OSError:
        return 0
