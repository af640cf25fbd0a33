"""The packages that are in the sandbox, in the data folder: one zip archive each.

A file's name has all that a list needs, its content's digest included, and comes to
be or goes in one step: two commands at a time leave a store that is whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rlm_local.errors import PackageError
from rlm_local.packages.image import MAX_BYTES, NO_PACKAGES, Packages, packed
from rlm_local.paths import data_folder
from rlm_local.records import Record
from rlm_local.units import format_bytes

if TYPE_CHECKING:
    from rlm_local.packages.wheel import Wheel

FORMAT = 1
_NAME = re.compile(r"(?P<name>[a-z0-9.-]+)_(?P<version>[^_]+)_(?P<sha256>[0-9a-f]{64})\.zip")


class Package(Record, frozen=True):
    """A package in the store. `sha256` is its file's."""

    name: str
    version: str
    sha256: str
    path: Path
    file_bytes: int


class PackageStore:
    """The store in `folder`, by default the user's."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = data_folder("packages") if folder is None else folder

    def installed(self) -> list[Package]:
        """The packages by name. Of two versions, which two commands at a time can
        leave, the one that came last."""
        found = {}
        for path, status in self._files():
            parts = _parts(path)
            found[parts["name"]] = Package(
                name=parts["name"],
                version=parts["version"],
                sha256=parts["sha256"],
                path=path,
                file_bytes=status.st_size,
            )
        return sorted(found.values(), key=lambda package: package.name)

    def add(self, wheel: Wheel, *, pyodide: str | None = None) -> Package:
        """Keep `wheel`, in place of another version of it.

        `pyodide` is the command that may compile it. Raises PackageError if a
        file of it is another package's too, or if there is no room.
        """
        from rlm_local.packages import archive, bytecode

        others = [package for package in self.installed() if package.name != wheel.name]
        self._check_room(wheel, others)
        self._check_files(wheel, others)
        data = archive.write({**bytecode.compiled(wheel, pyodide), **wheel.files})
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.folder / f"{wheel.name}_{wheel.version}_{sha256}.zip"
        _write(path, data)
        self._forget(wheel.name, kept=path)
        return Package(
            name=wheel.name,
            version=wheel.version,
            sha256=sha256,
            path=path,
            file_bytes=len(data),
        )

    def remove(self, *names: str) -> None:
        """Remove the packages `names`, however they are spelled, or none. Raises PackageError."""
        wanted = {re.sub("[-_.]+", "-", name).lower(): name for name in names}
        present = [package.name for package in self.installed()]
        for key, name in wanted.items():
            if key not in present:
                raise PackageError(
                    f"there is no package {name} in the sandbox",
                    hint=f"the packages are: {', '.join(present) or 'none'}",
                )
        for key in wanted:
            self._forget(key)

    def packages(self) -> Packages:
        """All of them, for a sandbox."""
        found = self.installed()
        if not found:
            return NO_PACKAGES
        facts = [str(FORMAT), *(package.sha256 for package in found)]
        digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
        return Packages(digest, lambda: _image(found))

    def _check_room(self, wheel: Wheel, others: Iterable[Package]) -> None:
        size = sum(map(len, wheel.files.values()))
        size += sum(package.file_bytes for package in others)
        if size > MAX_BYTES:
            raise PackageError(
                f"with {wheel.name} the packages have {format_bytes(size)}, and at most "
                f"{format_bytes(MAX_BYTES)} fit a sandbox",
                hint="remove one that is not needed: `rlm-local sandbox list`",
            )

    def _check_files(self, wheel: Wheel, others: Iterable[Package]) -> None:
        for package in others:
            theirs = _content(package).items()
            differing = sorted(path for path, data in theirs if wheel.files.get(path, data) != data)
            if differing:
                raise PackageError(
                    f"{wheel.name} brings {differing[0]}, of which {package.name} "
                    f"{package.version} has brought another",
                    hint=f"`rlm-local sandbox remove {package.name}` makes room for it",
                )

    def _forget(self, name: str, *, kept: Path | None = None) -> None:
        """Remove the files of package `name` but `kept`."""
        for path, _ in self._files():
            if _parts(path)["name"] == name and path != kept:
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """The store's files, the oldest first."""
        found = []
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name):
                with suppress(FileNotFoundError):  # another command has just removed it
                    found.append((path, path.stat()))
        return sorted(found, key=lambda file: file[1].st_mtime_ns)


def _parts(path: Path) -> dict[str, str]:
    """The name, version and digest in the name of a file of the store."""
    match = _NAME.fullmatch(path.name)
    return match.groupdict() if match else {}


def _image(packages: Iterable[Package]) -> bytes:
    files: dict[str, bytes] = {}
    for package in packages:
        files.update(_content(package))
    return packed(files)


def _content(package: Package) -> dict[str, bytes]:
    """The files of a package, its archive checked against its digest. Raises PackageError."""
    from rlm_local.packages import archive

    try:
        data = package.path.read_bytes()
    except OSError as error:
        raise PackageError(f"{package.path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != package.sha256:
        raise PackageError(
            f"{package.path} is not the file that was added",
            hint=f"`rlm-local sandbox remove {package.name}`, and add it again",
        )
    return archive.read(data)


def _write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all. Raises PackageError."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise PackageError(
            f"{path} cannot be written: {error.strerror}",
            hint="make room, or name another folder with RLM_LOCAL_DATA",
        ) from error
