"""Imports from the packages that the user has added, out of the guest's own memory.

The glue calls `install` once, before the snapshot, with the image that the host has
made of them (CONTRACT.md, "Packages"). Forks find it in their memory: an import there
reads bytecode that the snapshot holds. What a package is asked for beside its modules,
data files by `importlib.resources` and its own version by `importlib.metadata`, is
answered from the image too.
"""

from __future__ import annotations

import _imp
import io
import json
import marshal
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.abc import ExecutionLoader
from importlib.machinery import ModuleSpec, NamespaceLoader
from importlib.metadata import Distribution, DistributionFinder
from importlib.resources.abc import Traversable, TraversableResources
from importlib.util import MAGIC_NUMBER, decode_source, spec_from_file_location
from os import PathLike, fspath
from types import CodeType, ModuleType
from typing import Any

#: Where packages seem to lie: `__file__` begins with it. No file system is behind it.
ROOT = "/packages"
_LENGTH_BYTES = 4
_PYC_HEADER_BYTES = 16
_INIT = "__init__"


def install(image: memoryview) -> None:
    """Make the image's modules importable, after the standard library's."""
    archive = Archive(image)
    if archive.compiled:
        archive.compile_modules()
    sys.path.append(ROOT)
    sys.path_hooks.insert(0, archive.finder)
    sys.meta_path.append(Distributions(archive))


class Archive:
    """The files of the image. A path is relative to ROOT, '' for ROOT itself."""

    def __init__(self, image: memoryview) -> None:
        start = _LENGTH_BYTES + int.from_bytes(image[:_LENGTH_BYTES], "little")
        index = json.loads(bytes(image[_LENGTH_BYTES:start]))
        self.compiled: bool = index["compile"]
        self.files: dict[str, memoryview] = {}
        self.folders: dict[str, list[str]] = {"": []}
        for path, length in index["files"]:
            self.files[path] = image[start : start + length]
            start += length
            self._enter(path)
        self._code: dict[str, bytes] = {}

    def _enter(self, path: str) -> None:
        """List `path` in its folder, and new folders in theirs."""
        folder, _, name = path.rpartition("/")
        if folder not in self.folders:
            self.folders[folder] = []
            self._enter(folder)
        self.folders[folder].append(name)

    def relative(self, location: str) -> str:
        """The path that `location` means. Raises FileNotFoundError if it is not below ROOT."""
        if location == ROOT:
            return ""
        if not location.startswith(f"{ROOT}/"):
            raise FileNotFoundError(f"{location} is in no package")
        return location.removeprefix(f"{ROOT}/")

    def data(self, path: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError."""
        try:
            return bytes(self.files[path])
        except KeyError:
            raise FileNotFoundError(f"no package has the file {path}") from None

    def finder(self, location: str) -> Finder:
        """The path hook. Raises ImportError for what is not ours."""
        try:
            path = self.relative(location)
        except FileNotFoundError as error:
            raise ImportError(str(error)) from None
        if path not in self.folders:
            raise ImportError(f"no package has the folder {path}")
        return Finder(self, path)

    def module(self, path: str) -> str | None:
        """The file of the module at `path`, which has no suffix; None if there is none."""
        for file in (f"{path}.py", f"{path}.pyc"):
            if file in self.files:
                return file
        return None

    def code(self, file: str) -> CodeType:
        """The code of a module's file: the bytecode that is there, or its source compiled."""
        location = f"{ROOT}/{file}"
        kept = self._code.get(file) or self._bytecode(file)
        if kept is None and file.endswith(".pyc"):
            raise ImportError(f"{location} is another Python's bytecode")
        if kept is None:
            return compile(self.data(file), location, "exec", dont_inherit=True)
        code: CodeType = marshal.loads(kept)
        # A compiler on the host had another name for it.
        _imp._fix_co_filename(code, location)  # type: ignore[attr-defined]
        return code

    def _bytecode(self, file: str) -> memoryview | None:
        pyc = self.files.get(file if file.endswith(".pyc") else f"{file}c")
        if pyc is None or pyc[: len(MAGIC_NUMBER)] != MAGIC_NUMBER:
            return None
        return pyc[_PYC_HEADER_BYTES:]

    def compile_modules(self) -> None:
        """Compile every module that has no bytecode, so that no fork has to."""
        for file in self.files:
            if file.endswith(".py") and self._bytecode(file) is None:
                # Templates, or Python 2: whoever imports such a module is told.
                with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                    self._code[file] = marshal.dumps(self.code(file))


class Finder:
    """Finds modules in one folder."""

    def __init__(self, archive: Archive, folder: str) -> None:
        self._archive = archive
        self._folder = folder

    def find_spec(self, name: str, target: object = None) -> ModuleSpec | None:
        """The spec of module `name`, a package's, or that of a folder without code."""
        path = _joined(self._folder, name.rpartition(".")[2])
        for place, locations in ((f"{path}/{_INIT}", [f"{ROOT}/{path}"]), (path, None)):
            file = self._archive.module(place)
            if file is not None:
                return spec_from_file_location(
                    name,
                    f"{ROOT}/{file}",
                    loader=Loader(self._archive, name, file),
                    submodule_search_locations=locations,
                )
        if path not in self._archive.folders:
            return None
        # With a loader, though it may be a namespace: all parts are here, and the loader that
        # the standard library gives to those looks for data in a file system.
        spec = ModuleSpec(name, FolderLoader(self._archive, name, path), is_package=True)
        spec.submodule_search_locations = [f"{ROOT}/{path}"]
        return spec

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """Name and whether it is a package, of each module here: what `pkgutil` asks for."""
        found = {}
        for entry in self._archive.folders[self._folder]:
            stem, _, suffix = entry.partition(".")
            path = _joined(self._folder, entry)
            if path in self._archive.folders:
                if entry.isidentifier() and self._archive.module(f"{path}/{_INIT}"):
                    found[entry] = True
            elif suffix in ("py", "pyc") and stem.isidentifier() and stem != _INIT:
                found[stem] = False
        return ((prefix + name, found[name]) for name in sorted(found))

    def invalidate_caches(self) -> None:
        """There are none: the image does not change."""


class Loader(ExecutionLoader):
    """Loads one module."""

    def __init__(self, archive: Archive, name: str, file: str) -> None:
        self._archive = archive
        self._name = name
        self._file = file

    def get_filename(self, fullname: str) -> str:
        return f"{ROOT}/{self._file}"

    def get_code(self, fullname: str) -> CodeType:
        try:
            return self._archive.code(self._file)
        except (EOFError, ValueError, TypeError) as error:
            raise ImportError(f"the bytecode of {fullname} is damaged: {error}") from error

    def get_source(self, fullname: str) -> str | None:
        return None if self._file.endswith(".pyc") else decode_source(self.get_data(self._file))

    def get_data(self, path: str) -> bytes:
        """A file's bytes, by its location or its path."""
        return self._archive.data(self._archive.relative(path) if path[:1] == "/" else path)

    def get_resource_reader(self, fullname: str) -> Resources:
        return Resources(File(self._archive, self._file.rpartition("/")[0]))


class FolderLoader(NamespaceLoader):
    """Loads a package that is a folder without code of its own."""

    def __init__(self, archive: Archive, name: str, folder: str) -> None:
        super().__init__(name, [f"{ROOT}/{folder}"], lambda *_: None)
        self._folder = File(archive, folder)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = None  # as that of every namespace

    def get_resource_reader(self, module: str) -> Resources:  # type: ignore[override]
        return Resources(self._folder)


class Resources(TraversableResources):
    """What `importlib.resources` asks a package for."""

    def __init__(self, folder: File) -> None:
        self._folder = folder

    def files(self) -> File:
        return self._folder


class File(Traversable):
    """A file or a folder of the image."""

    def __init__(self, archive: Archive, path: str) -> None:
        self._archive = archive
        self._path = path

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    def __repr__(self) -> str:
        return f"<{ROOT}/{self._path}>"

    def is_dir(self) -> bool:
        return self._path in self._archive.folders

    def is_file(self) -> bool:
        return self._path in self._archive.files

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def iterdir(self) -> Iterator[File]:
        if not self.is_dir():
            raise NotADirectoryError(f"{self._path} is not a folder of a package")
        return (self.joinpath(name) for name in sorted(self._archive.folders[self._path]))

    def joinpath(self, *descendants: str | PathLike[str]) -> File:
        path = self._path
        for name in "/".join([fspath(each) for each in descendants]).split("/"):
            if name == "..":
                path = path.rpartition("/")[0]
            elif name not in ("", "."):
                path = _joined(path, name)
        return File(self._archive, path)

    def read_bytes(self) -> bytes:
        return self._archive.data(self._path)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def open(self, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:
        stream = io.BytesIO(self.read_bytes())
        return stream if "b" in mode else io.TextIOWrapper(stream, *args, **options)


class Distributions:
    """Finds no module: `importlib.metadata` asks it for what packages say of themselves."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        return None

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[Distribution]:
        wanted = None if context.name is None else _normalized(context.name)
        for folder in self._archive.folders[""]:
            name = folder.partition("-")[0]
            if folder.endswith(".dist-info") and wanted in (None, _normalized(name)):
                yield Metadata(self._archive, folder)


class Metadata(Distribution):
    """A package's `.dist-info` folder."""

    def __init__(self, archive: Archive, folder: str) -> None:
        self._archive = archive
        self._folder = folder

    def read_text(self, filename: str) -> str | None:
        data = self._archive.files.get(f"{self._folder}/{filename}")
        return None if data is None else bytes(data).decode("utf-8")

    def locate_file(self, path: Any) -> Any:
        return File(self._archive, "").joinpath(str(path))


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _normalized(name: str) -> str:
    """A distribution's name as names are compared."""
    return re.sub("[-_.]+", "-", name).lower()
