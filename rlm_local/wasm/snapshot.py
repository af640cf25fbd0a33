"""A Python that has started, as a file: the linear memory after the guest's `rlm_init`,
and after `rlm_packages` if there are packages.

A fork is a fresh instance with this file mapped over its memory, privately, so
that forks share its pages until they write to them. The file is sparse, and its
first 64 KiB say what else is needed.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from rlm_local.errors import SandboxError
from rlm_local.packages.image import NO_PACKAGES, Packages
from rlm_local.paths import cache_folder
from rlm_local.records import Record
from rlm_local.wasm import capi, preview1
from rlm_local.wasm.guest import check_private, forget_old
from rlm_local.wasm.instance import Host, Instance
from rlm_local.wasm.mailbox import Mailbox
from rlm_local.wasm.memory import WASM_PAGE

FORMAT = 2
#: The first pages of the file: a `Head` as JSON, filled up with spaces.
HEAD_BYTES = WASM_PAGE
_BLOCK_BYTES = 4096
#: Randomness while Python starts. Forks are seeded anew.
_SEED = 0
_INIT_MEMORY_BYTES = 256 << 20


class Head(Record, frozen=True):
    """`memory_bytes` of linear memory follow; `elapsed_ns` is the virtual time they took.
    `guest` and `packages` are the digests of what was started."""

    format: int
    guest: str
    packages: str
    memory_bytes: int
    stack_pointer: int
    mailbox: int
    elapsed_ns: int


class Snapshot:
    """An open snapshot."""

    def __init__(self, path: Path, guest: str, packages: str = "") -> None:
        """Open the file at `path`. Raises SandboxError if it is not one of this guest with
        these packages."""
        check_private(path)
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.head = _read_head(self._file, path, guest, packages)
        except BaseException:
            self.close()
            raise
        #: Tells it from any other, and from the same one made again.
        self.identity = _identity(path, self._file)

    def restore(self, instance: Instance) -> None:
        """Make a fresh instance a running Python. Raises SandboxError."""
        instance.memory.grow_to(self.head.memory_bytes)
        instance.memory.map_file(0, self._file, HEAD_BYTES, self.head.memory_bytes)
        instance.stack_pointer = self.head.stack_pointer
        instance.world.elapsed_ns = self.head.elapsed_ns

    def close(self) -> None:
        """Close the file. What is mapped stays mapped."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def path_for(guest: str, packages: str = "") -> Path:
    """Where the snapshot lies of the guest and the packages with these digests."""
    what = f"{guest[:32]}-{packages[:32]}" if packages else guest[:32]
    return cache_folder("snapshot") / f"{what}-{capi.WASMTIME_VERSION}-{FORMAT}.memory"


def open_or_make(host: Host, packages: Packages = NO_PACKAGES) -> Snapshot:
    """The snapshot of this guest with `packages` from the cache, made first if it is
    missing or damaged.

    Call it on a thread for guests. Raises SandboxError, PackageError.
    """
    digest = host.guest.digest
    path = path_for(digest, packages.digest)
    if os.path.lexists(path):
        check_private(path)
        try:
            return Snapshot(path, digest, packages.digest)
        except SandboxError:  # cut short or of another format: made again
            path.unlink(missing_ok=True)
    make(host, path, packages)
    forget_old(path.parent, "*.memory")
    return Snapshot(path, digest, packages.digest)


def make(host: Host, path: Path, packages: Packages = NO_PACKAGES) -> None:
    """Start the guest's Python, give it `packages` and write its memory to `path`.

    Raises SandboxError, PackageError.
    """
    image = packages.image() if packages.digest else b""
    instance = host.instance(preview1.World(_SEED), memory_bytes=_INIT_MEMORY_BYTES)
    try:
        try:
            instance.call("_initialize")
            failed = instance.call("rlm_init")
            mailbox = instance.call("rlm_mailbox") & 0xFFFF_FFFF
        except capi.Trapped as trap:
            raise SandboxError(f"the guest's Python did not start: {trap}") from trap
        if failed:
            words = (
                Mailbox.read(instance.memory, mailbox).stderr(instance.memory, HEAD_BYTES).strip()
            )
            raise SandboxError(f"the guest's Python did not start: {words or 'no reason given'}")
        if image:
            _install(instance, mailbox, image)
        head = Head(
            format=FORMAT,
            guest=host.guest.digest,
            packages=packages.digest,
            memory_bytes=instance.memory.size,
            stack_pointer=instance.stack_pointer,
            mailbox=mailbox,
            elapsed_ns=instance.world.elapsed_ns,
        )
        _write(path, head, instance)
    finally:
        instance.close()


def _install(instance: Instance, mailbox: int, image: bytes) -> None:
    """Hand the image of the packages over. Raises SandboxError."""
    try:
        address = instance.call("rlm_buffer", len(image)) & 0xFFFF_FFFF
        if address == 0:
            raise SandboxError(
                f"the guest has no room for {len(image):,} bytes of packages",
                hint="remove some: `rlm-local sandbox list` has their sizes",
            )
        instance.memory.write(address, image)
        failed = instance.call("rlm_packages", len(image))
    except capi.Trapped as trap:
        raise SandboxError(f"the guest was stopped while it took its packages: {trap}") from trap
    if failed:
        reason = Mailbox.read(instance.memory, mailbox).result(instance.memory)
        raise SandboxError(f"the guest refused its packages: {reason.decode(errors='replace')}")


def _write(path: Path, head: Head, instance: Instance) -> None:
    memory = np.frombuffer(instance.memory.view(head.memory_bytes), dtype=np.uint8)
    blocks = memory.reshape(-1, _BLOCK_BYTES)
    used = np.flatnonzero(blocks.any(axis=1))
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(head).ljust(HEAD_BYTES))
                for block in used:
                    file.seek(HEAD_BYTES + int(block) * _BLOCK_BYTES)
                    file.write(blocks[block].tobytes())
                file.truncate(HEAD_BYTES + head.memory_bytes)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise SandboxError(
            f"the snapshot {path} cannot be written: {error.strerror}",
            hint="make room, or name another folder with RLM_LOCAL_CACHE",
        ) from error


def _identity(path: Path, file: int) -> str:
    found = os.fstat(file)
    return f"{path.name}-{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _read_head(file: int, path: Path, guest: str, packages: str) -> Head:
    try:
        head = msgspec.json.decode(os.pread(file, HEAD_BYTES, 0).strip(), type=Head)
    except msgspec.MsgspecError as error:
        raise SandboxError(f"{path} is not a snapshot: {error}") from error
    size = os.fstat(file).st_size
    whole = HEAD_BYTES + head.memory_bytes
    same = (head.format, head.guest, head.packages) == (FORMAT, guest, packages)
    if not same or size != whole:
        raise SandboxError(
            f"{path} is another guest's snapshot, or has {size:,} bytes of {whole:,}"
        )
    return head
