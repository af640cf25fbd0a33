"""Checkpoints of a REPL: the pages of its memory that differ from the base snapshot.

    12.pages    a head (JSON with a checksum, filled up to whole pages), then the pages

A checkpoint stands alone, or on the one before it: then it holds the pages that
were written since. To know those, the pages of a checkpoint are mapped from its
file, privately, as soon as it is written; the kernel then tells which of them are
written to again (see `pages`). Small states skip that: all of one is written each
turn, and no checkpoint but the last is kept.

Pieces of the prompt that were mapped on demand are not written: the head names them,
and they are mapped again, before the pages that the guest has written to since.

Files are not synced. The run record is, and a REPL can always be rebuilt from it
by running its cells again; a checkpoint only saves that time. So one that a power
cut has damaged is passed over: checksums cover every byte.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from rlm_local.errors import SandboxError
from rlm_local.records import Record
from rlm_local.wasm.guest import check_private
from rlm_local.wasm.instance import Instance
from rlm_local.wasm.mapping import Piece, PromptMapping
from rlm_local.wasm.pages import PAGE_BYTES, Extent, PageMap, Pages, extents

FORMAT = 2
SUFFIX = ".pages"
#: A state up to this size is written whole each time, and never mapped from its file.
SMALL_BYTES = 4 << 20
#: Checkpoints that stand on each other together take at most this many times their state.
MOST_TIMES = 2
#: Pages of a large state that are at most so far apart are written with those between them:
#: each extent becomes a mapping of its own, and a process may have some 65,000.
_GAP_PAGES = 4
_MOST_BUFFERS = 512  # of one writev
_PREFIX = b"rlm checkpoint "


class Head(Record, frozen=True):
    """What a checkpoint's file begins with.

    `fits` names what it is good for: the snapshot and the prompt as they are
    mapped. `base` is the turn of the checkpoint that it stands on. `note` is the
    caller's own. `memory_bytes` is 0 for a REPL that had been stopped for good:
    its next cell gets a fresh fork, and there are no pages. `elapsed_ns` and
    `randomness` are the guest's world.
    """

    format: int
    fits: str
    turn: int
    base: int | None
    page_bytes: int
    memory_bytes: int
    stack_pointer: int
    elapsed_ns: int
    randomness: bytes
    pieces: tuple[Piece, ...]
    extents: list[Extent]
    crc32: int
    note: bytes


class Saved(Record, frozen=True):
    """What writing a checkpoint took: bytes in its file, pages in it, and if it stands alone."""

    bytes: int
    pages: int
    alone: bool


class Checkpoints:
    """The checkpoints of one REPL, in a folder of their own."""

    def __init__(self, folder: Path, fits: str, mapping: PromptMapping) -> None:
        """`fits`: see `Head`; checkpoints of anything else are passed over. `mapping` is how
        the prompt is in the memory of the instances that are saved and restored."""
        self._folder = folder
        self._fits = fits
        self._mapping = mapping
        self._map: PageMap | None = None
        #: What the memory stands on, the first one alone: files that are mapped there.
        self._chain: list[Head] = []

    def save(self, instance: Instance | None, turn: int, note: bytes = b"") -> Saved | None:
        """Write the state of `instance`, which is idle, as that after `turn`.

        None stands for a REPL without an instance. Returns None where there can be
        no checkpoint: the disk is full, or the kernel has no page map. Then the
        last one before stays good.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if instance is None:
                return self._save_none(turn, note)
            return self._save(instance, turn, note)
        except OSError:
            return None

    def read(self, most_turn: int) -> list[Head]:
        """The newest checkpoint up to `most_turn` that is whole and fits, for `restore`.

        It is the last of the list, after those it stands on; [] if there is none.
        """
        for turn in sorted(self._turns(), reverse=True):
            if turn <= most_turn and (chain := self._read_chain(turn)):
                return chain
        return []

    def restore(self, instance: Instance, chain: list[Head]) -> None:
        """Give `instance`, on which snapshot and prompt are mapped, a state that was read.

        Raises SandboxError.
        """
        head = chain[-1]
        instance.memory.grow_to(head.memory_bytes)
        left = set(head.pieces)
        for link in chain:
            # Before what was written to them, and over what had been there before them.
            for piece in link.pieces:
                if piece in left:
                    left.remove(piece)
                    self._mapping.put_back(piece)
            self._map_pages(instance, link)
        instance.stack_pointer = head.stack_pointer
        instance.world.elapsed_ns = head.elapsed_ns
        instance.world.restore_randomness(head.randomness)
        self._chain = chain

    def forget(self) -> None:
        """What is saved next is another instance: nothing of it is on disk yet."""
        self._chain = []

    def close(self) -> None:
        """Release what is open; the files stay. Closing twice is harmless."""
        if self._map is not None:
            self._map.close()
            self._map = None

    # ---------------------------------------------------------------- writing

    def _save_none(self, turn: int, note: bytes) -> Saved:
        head = Head(
            format=FORMAT,
            fits=self._fits,
            turn=turn,
            base=None,
            page_bytes=PAGE_BYTES,
            memory_bytes=0,
            stack_pointer=0,
            elapsed_ns=0,
            randomness=b"",
            pieces=(),
            extents=[],
            crc32=0,
            note=note,
        )
        self._write(head, [])
        self._chain = []
        self._prune(turn)
        return Saved(bytes=self._path(turn).stat().st_size, pages=0, alone=True)

    def _save(self, instance: Instance, turn: int, note: bytes) -> Saved:
        size = instance.memory.size
        if self._map is None:
            self._map = PageMap()
        new = self._map.written(instance.memory.base, size)
        state = self._with_held(new, size)
        large = len(state) * PAGE_BYTES > SMALL_BYTES
        held = sum(link.pages for head in self._chain for link in head.extents)
        alone = not self._chain or held + len(new) > MOST_TIMES * len(state)
        wanted = extents(state if alone else new, _GAP_PAGES if large else 0)
        view = instance.memory.view(size)
        pieces = [_bytes_of(view, extent) for extent in wanted]
        checksum = 0
        for piece in pieces:
            checksum = zlib.crc32(piece, checksum)
        head = Head(
            format=FORMAT,
            fits=self._fits,
            turn=turn,
            base=None if alone else self._chain[-1].turn,
            page_bytes=PAGE_BYTES,
            memory_bytes=size,
            stack_pointer=instance.stack_pointer,
            elapsed_ns=instance.world.elapsed_ns,
            randomness=instance.world.randomness(),
            pieces=self._mapping.pieces,
            extents=wanted,
            crc32=checksum,
            note=note,
        )
        written = self._write(head, pieces)
        if large:
            self._chain = [head] if alone else [*self._chain, head]
            self._map_pages(instance, head)
        self._prune(turn)
        return Saved(bytes=written, pages=sum(e.pages for e in wanted), alone=alone)

    def _with_held(self, new: Pages, size: int) -> Pages:
        """The pages `new`, and those that the memory stands on, of `size` bytes in all."""
        if not self._chain:
            return new
        marks = np.zeros(size // PAGE_BYTES, np.bool_)
        marks[new] = True
        for head in self._chain:
            for first, count in head.extents:
                marks[first : first + count] = True
        return np.flatnonzero(marks)

    def _write(self, head: Head, pieces: list[memoryview]) -> int:
        """Write the file, whole or not at all; its size. Raises OSError."""
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=SUFFIX)
        try:
            try:
                size = _write_all(handle, [memoryview(_encoded(head)), *pieces])
            finally:
                os.close(handle)
            os.replace(name, self._path(head.turn))
        except OSError:
            os.unlink(name)
            raise
        return size

    def _prune(self, turn: int) -> None:
        """Remove all checkpoints but that after `turn`, and what the memory stands on."""
        kept = {self._path(turn), *(self._path(head.turn) for head in self._chain)}
        for path in self._folder.glob(f"*{SUFFIX}"):  # nothing else is ours
            if path not in kept:
                path.unlink(missing_ok=True)

    # ---------------------------------------------------------------- reading

    def _read_chain(self, turn: int) -> list[Head]:
        """The checkpoint after `turn` with those it stands on, first to last; [] if one is bad."""
        chain: list[Head] = []
        wanted: int | None = turn
        while wanted is not None:
            head = _read(self._path(wanted))
            if head is None or head.turn != wanted or head.fits != self._fits:
                return []
            chain.insert(0, head)
            if head.base is not None and head.base >= wanted:
                return []
            wanted = head.base
        return chain

    def _map_pages(self, instance: Instance, head: Head) -> None:
        """Put the pages of a checkpoint in place, as pages of its file. Raises SandboxError."""
        path = self._path(head.turn)
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SandboxError(
                f"the checkpoint {path} cannot be opened: {error.strerror}"
            ) from error
        try:
            offset = len(_encoded(head))
            for first, count in head.extents:
                length = count * PAGE_BYTES
                instance.memory.map_file(first * PAGE_BYTES, file, offset, length)
                offset += length
        finally:
            os.close(file)

    def _turns(self) -> Iterator[int]:
        if self._folder.is_dir():
            for path in self._folder.glob(f"*{SUFFIX}"):
                if path.stem.isdecimal():
                    yield int(path.stem)

    def _path(self, turn: int) -> Path:
        return self._folder / f"{turn}{SUFFIX}"


def _encoded(head: Head) -> bytes:
    """The head as it stands in the file: whole pages."""
    body = msgspec.json.encode(head)
    data = b"%b%08x %d\n%b\n" % (_PREFIX, zlib.crc32(body), len(body), body)
    return data.ljust(-(-len(data) // PAGE_BYTES) * PAGE_BYTES)


def _read(path: Path) -> Head | None:
    """The head of a checkpoint, if that is whole, its pages included."""
    try:
        check_private(path)
        with path.open("rb") as file:
            line = file.readline(len(_PREFIX) + 64)
            checksum, length = line.removeprefix(_PREFIX).split()
            if not line.startswith(_PREFIX) or int(length) > os.fstat(file.fileno()).st_size:
                return None
            body = file.read(int(length))
            if zlib.crc32(body) != int(checksum, 16):
                return None
            head = msgspec.json.decode(body, type=Head)
            if head.format != FORMAT or head.page_bytes != PAGE_BYTES:
                return None
            file.seek(len(_encoded(head)))
            return head if _checksum(file, head.extents) == head.crc32 else None
    except (OSError, ValueError, SandboxError):  # gone, cut short, garbage, someone else's
        return None


def _checksum(file: BinaryIO, wanted: list[Extent]) -> int | None:
    """The CRC-32 of the pages that follow in `file`; None if they are not all there."""
    checksum = 0
    for _, count in wanted:
        data = file.read(count * PAGE_BYTES)
        if len(data) < count * PAGE_BYTES:
            return None
        checksum = zlib.crc32(data, checksum)
    return checksum


def _bytes_of(view: memoryview, extent: Extent) -> memoryview:
    start = extent.first * PAGE_BYTES
    return view[start : start + extent.pages * PAGE_BYTES]


def _write_all(file: int, pieces: list[memoryview]) -> int:
    """Write all the pieces from the file's start; how many bytes that were."""
    offset = 0
    for start in range(0, len(pieces), _MOST_BUFFERS):
        waiting = pieces[start : start + _MOST_BUFFERS]
        while waiting:
            written = os.pwritev(file, waiting, offset)
            offset += written
            while waiting and written >= len(waiting[0]):
                written -= len(waiting.pop(0))
            if written:
                waiting[0] = waiting[0][written:]
    return offset
