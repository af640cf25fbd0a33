"""Files of the spool: written so that a full disk is a clear error, copied without a detour."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rlm_local.closing import Closing
from rlm_local.errors import DiskError, PromptError

#: Bytes read, checked and written at a time; a multiple of 4, the widest character.
BLOCK_BYTES = 1 << 18

#: Regions are mapped on page boundaries; 64 KiB is a multiple of every page size in use.
PAGE_BYTES = 65_536

#: A `str` ends in a zero character of its width, at most 4 bytes.
ZERO_BYTES = 4

_FICLONE = 0x40049409  # ioctl of btrfs, xfs, bcachefs, overlayfs above them, …
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(PromptError):
    """No space is left for the spool."""

    exit_code = DiskError.exit_code


@contextmanager
def spool_errors(path: Path) -> Iterator[None]:
    """Turns an OSError of writing to the spool at `path` into a PromptError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(f"the disk is full: {path} cannot be written") from error
        reason = error.strerror or str(error)
        raise PromptError(f"the prompt's spool {path} cannot be written: {reason}") from error


@contextmanager
def spool_read_errors(path: Path) -> Iterator[None]:
    """Turns an OSError of reading the finished spool at `path` into a PromptError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise PromptError(
            f"the prompt's spool {path} cannot be read: {reason}",
            hint="ask again, and it is made again",
        ) from error


class SpoolFile(Closing):
    """A new file of the spool, written from its start. `size` is what it holds, in bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        with spool_errors(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o600)

    def write(self, data: bytes | bytearray) -> None:
        """Append `data`. Raises DiskFullError, PromptError."""
        with spool_errors(self.path), memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], self.size + done)
        self.size += done

    def truncate(self, size: int) -> None:
        """Drop what lies beyond byte `size`."""
        with spool_errors(self.path):
            os.ftruncate(self._fd, size)
        self.size = size

    def pad(self) -> int:
        """Extend the file with zeros to whole pages, with ZERO_BYTES at least; its length."""
        length = -(-(self.size + ZERO_BYTES) // PAGE_BYTES) * PAGE_BYTES
        with spool_errors(self.path):
            os.ftruncate(self._fd, length)
        return length

    def read_blocks(self, start: int = 0) -> Iterator[bytes]:
        """What was written, from byte `start`, in blocks."""
        while start < self.size:
            with spool_errors(self.path):
                block = os.pread(self._fd, min(BLOCK_BYTES, self.size - start), start)
            if not block:
                raise PromptError(f"the prompt's spool {self.path} was cut short by someone else")
            start += len(block)
            yield block

    def clone(self, source: int) -> bool:
        """Make this empty file share the blocks of the file `source`, if they can be shared."""
        try:
            fcntl.ioctl(self._fd, _FICLONE, source)
        except OSError:  # of another device, not a file system with reflinks, …
            return False
        self.size = os.fstat(self._fd).st_size
        return True

    def copy_range(self, source: int) -> int | None:
        """Append a block of `source` from its position, within the kernel.

        Gives the number of bytes, 0 at the end, and None where the kernel
        cannot do it: reading and writing can, or tells which of the two failed.
        """
        if not hasattr(os, "copy_file_range"):  # not Linux
            return None
        try:
            done = os.copy_file_range(source, self._fd, BLOCK_BYTES, offset_dst=self.size)
        except OSError as error:
            if error.errno not in _FULL:
                return None
            with spool_errors(self.path):
                raise
        self.size += done
        return done

    def rename(self, path: Path) -> None:
        with spool_errors(path):
            self.path.rename(path)
        self.path = path

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with spool_errors(self.path):  # a network file system tells of a full disk here
                os.close(fd)


def copied(source: BinaryIO, target: SpoolFile) -> Iterator[bytes]:
    """Copy the regular file `source`, unbuffered, and yield the copy's blocks as they are made.

    The blocks are read back from the copy: whoever checks them has checked what
    is in the spool, whatever happens to the source meanwhile.
    """
    if target.clone(source.fileno()):
        yield from target.read_blocks()
        return
    while (done := target.copy_range(source.fileno())) is not None:
        if done == 0:
            break
        yield from target.read_blocks(target.size - done)
    # What is left, if the kernel could not copy it. (Some file systems of the
    # kernel's own, like /proc, give 0 to copy_file_range and text to read.)
    for block in read_blocks(source):
        target.write(block)
        yield block


def read_blocks(file: BinaryIO) -> Iterator[bytes]:
    """All that a file or a stream gives, in blocks.

    One system call at a time: between two of them Ctrl-C is heard, which it is
    not inside a buffered `read` that waits for a whole block.
    """
    read = file.read1 if isinstance(file, io.BufferedIOBase) else file.read
    while True:
        _await_input(file)
        if not (block := read(BLOCK_BYTES)):
            return
        yield block


def _await_input(file: BinaryIO) -> None:
    """Wait until a stream that does not block has something: until then it would look ended.

    Whoever shares a terminal or a pipe can make it so.
    """
    try:
        descriptor = file.fileno()
    except (AttributeError, OSError):  # it is in memory
        return
    if not os.get_blocking(descriptor):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
