"""KV cells outside of the KV cache: to be computed once, and loaded from then on.

Two places hold them. `Swap` takes the cells of a dialogue that had to make room, in
files without a name: they are the process's own, in memory while there is memory and
on disk where there is not, and gone with it. `PrefixStore` keeps the beginnings that
new processes will need again, the system prompts, in a folder.

llama.cpp ends its process on a state that was cut short, so all of a stored one is
compared with its checksum before it is handed over.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import stat
import struct
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, Self

import numpy as np

from rlm_local.limits import MIB
from rlm_local.llama.engine import Tokens
from rlm_local.model import is_within
from rlm_local.spool.identity import text_digest

SWAP_BYTES = 4096 * MIB
STORE_BYTES = 1024 * MIB
LARGEST_BYTES = 512 * MIB  # of one stored prefix
_MAGIC = b"RLMKV\0\0\2"
_LAYOUT = struct.Struct("<8sQQ16s")  # magic, tokens, bytes of the state, digest of both
_SUFFIX, _UNFINISHED = ".kv", ".unfinished"
_OURS = re.compile(rf"[0-9a-f]{{32}}(?:\{_SUFFIX}|\w+\{_UNFINISHED})")
_MADV_POPULATE_READ = 22  # of Linux 5.14; the module `mmap` does not name it
# A file that was not finished by then was its process's last: it is ended as it writes, too.
_ABANDONED_SECONDS = 3_600.0


class State(Protocol):
    """Cells for `tokens`, as llama.cpp wrote them."""

    @property
    def tokens(self) -> Tokens: ...

    def read(self) -> memoryview | None:
        """The whole of it, verified; None if it is not there any more or not sound."""
        ...


class Swapped(NamedTuple):
    """A dialogue's cells in a file without a name."""

    tokens: Tokens
    node: str
    data: mmap.mmap

    def read(self) -> memoryview:
        return memoryview(self.data)


class Swap:
    """Cells of dialogues that were evicted, up to `most_bytes`; the oldest go first."""

    def __init__(self, folder: Path, *, most_bytes: int = SWAP_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._held: dict[str, Swapped] = {}

    def space(self, size: int) -> mmap.mmap | None:
        """`size` bytes to write a state to, or None where there is no room for them."""
        if size > self._most_bytes:
            return None
        held = sum(len(swapped.data) for swapped in self._held.values())
        while held + size > self._most_bytes:
            oldest = next(iter(self._held))
            held -= len(self._held[oldest].data)
            self.drop(oldest)
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                # A file with holes would end the process when the disk is full.
                os.posix_fallocate(file.fileno(), 0, size)
                return mmap.mmap(file.fileno(), size)
        except OSError:
            return None

    def put(self, dialogue: str, swapped: Swapped) -> None:
        self.drop(dialogue)
        self._held[dialogue] = swapped

    def get(self, dialogue: str) -> Swapped | None:
        return self._held.get(dialogue)

    def drop(self, dialogue: str) -> None:
        self._held.pop(dialogue, None)  # the file goes with the last who looks at it

    def forget(self, node: str) -> None:
        """Drop what belongs to `node` and those below it."""
        for dialogue in [name for name, held in self._held.items() if is_within(held.node, node)]:
            self.drop(dialogue)


class Stored(NamedTuple):
    """A state in a file of a `PrefixStore`."""

    path: Path
    tokens: Tokens

    def read(self) -> memoryview | None:
        try:
            with self.path.open("rb") as file:
                header = _Header.read(file)
                # Not a copy: such files are replaced and removed, but never written to.
                held = mmap.mmap(file.fileno(), header.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return None
        content = memoryview(held)
        if not _readable(held) or text_digest(content[_LAYOUT.size :]).digest() != header.digest:
            return None
        with contextlib.suppress(OSError):  # a folder that is only read serves as well
            os.utime(self.path)
        return content[_LAYOUT.size + 4 * header.tokens :]


class PrefixStore:
    """States in `folder`, which holds those of one model, engine and cell type only.

    One that is damaged is never loaded. The ones that were used longest ago are
    removed when all together, with those of other models beside `folder`, take more
    than `most_bytes`.
    """

    def __init__(self, folder: Path, *, most_bytes: int = STORE_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self.states: list[Stored] = []
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in folder.glob(f"*{_SUFFIX}"):
                if (tokens := _tokens(path)) is not None:
                    self.states.append(Stored(path, tokens))

    def put(self, tokens: Tokens, state: memoryview) -> None:
        """Keep the cells of `tokens`. A disk that is full, or refuses, keeps nothing."""
        body = np.ascontiguousarray(tokens, np.int32).tobytes()
        if len(state) > min(LARGEST_BYTES, self._most_bytes):
            return
        digest = text_digest(body)
        name = digest.hexdigest()
        path = self._folder / f"{name}{_SUFFIX}"
        digest.update(state)
        with contextlib.suppress(OSError):
            self._make_space(len(state))
            with tempfile.NamedTemporaryFile(
                dir=self._folder, prefix=name, suffix=_UNFINISHED, delete=False
            ) as file:
                try:
                    file.write(_LAYOUT.pack(_MAGIC, len(tokens), len(state), digest.digest()))
                    file.write(body)
                    file.write(state)
                    file.flush()
                    os.replace(file.name, path)
                except OSError:
                    os.unlink(file.name)
                    raise
            self.states.append(Stored(path, tokens.copy()))

    def discard(self, state: Stored) -> None:
        """Remove one that could not be loaded."""
        self.states = [other for other in self.states if other is not state]
        with contextlib.suppress(OSError):
            state.path.unlink()

    def _make_space(self, size: int) -> None:
        beside = self._folder.parent.glob("*/*")
        # Somebody may have given us a folder of his own.
        found_at = ((path.lstat(), path) for path in beside if _OURS.fullmatch(path.name))
        files = [(found, path) for found, path in found_at if stat.S_ISREG(found.st_mode)]
        held = sum(found.st_size for found, _ in files)
        abandoned = time.time() - _ABANDONED_SECONDS
        for found, path in sorted(files, key=lambda pair: pair[0].st_mtime):
            unfinished = path.suffix != _SUFFIX
            if unfinished and found.st_mtime > abandoned:
                continue  # another process may be writing it
            if held + size <= self._most_bytes and not unfinished:
                continue
            path.unlink(missing_ok=True)
            held -= found.st_size


class _Header(NamedTuple):
    tokens: int
    size: int  # of the whole file
    digest: bytes

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """Raises ValueError if the file is not what its header says."""
        raw = file.read(_LAYOUT.size)
        if len(raw) != _LAYOUT.size:
            raise ValueError("the header is cut short")
        magic, tokens, state, digest = _LAYOUT.unpack(raw)
        size = _LAYOUT.size + 4 * tokens + state
        if magic != _MAGIC or not tokens or size != os.fstat(file.fileno()).st_size:
            raise ValueError("the header does not fit the file")
        return cls(tokens, size, digest)


def _tokens(path: Path) -> Tokens | None:
    try:
        with path.open("rb") as file:
            count = _Header.read(file).tokens
            raw = file.read(4 * count)
    except (OSError, ValueError):
        return None
    return np.frombuffer(raw, np.int32) if len(raw) == 4 * count else None


def _readable(held: mmap.mmap) -> bool:
    """Whether all of the file can be read: of a failing disk, what comes later is a signal."""
    try:
        held.madvise(_MADV_POPULATE_READ)
    except OSError as error:
        return error.errno == errno.EINVAL  # a system that does not know of this
    return True
