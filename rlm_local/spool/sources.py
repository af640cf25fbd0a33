"""What the user named as the prompt: files, folders, JSONL, a stream."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from rlm_local.errors import PromptError

STDIN = "-"


class Stamp(NamedTuple):
    """What tells one state of a file from another, as far as `stat` can."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class Source(NamedTuple):
    """One thing to read. `path` is None for standard input, `stamp` for all streams.

    `form`: "text" is one document, "lines" one in each line (JSONL). `in_folder`:
    it was found in a folder, where files that are not text are left out.
    """

    path: Path | None
    name: str
    form: Literal["text", "lines"]
    stamp: Stamp | None
    in_folder: bool = False

    @property
    def label(self) -> str:
        """What messages call it."""
        return "standard input" if self.path is None else str(self.path)

    def open(self, stdin: BinaryIO | None = None) -> AbstractContextManager[BinaryIO]:
        """Open it for reading, or give `stdin`, which stays open, if it has no path.

        Files are unbuffered, as they are read in blocks, unless it is line by line.
        """
        if self.path is not None:
            return open(self.path, "rb", buffering=-1 if self.form == "lines" else 0)
        if stdin is None:
            raise PromptError("there is no standard input to read")
        return nullcontext(stdin)


class Listing(NamedTuple):
    """All that is to be read, in order.

    `single`: it is one text, not a list of texts. `skipped`: names of files in
    folders that cannot be read as files (sockets, broken links, …).
    """

    sources: list[Source]
    single: bool
    skipped: list[str]

    @property
    def lasting(self) -> bool:
        """Whether every source can be read again later, and seen to be unchanged."""
        return all(source.stamp is not None for source in self.sources)

    @property
    def bytes(self) -> int:
        """Size of the files; streams count nothing."""
        return sum(source.stamp.size for source in self.sources if source.stamp)


@contextmanager
def source_errors(name: str) -> Iterator[None]:
    """Turns an OSError of reading the source called `name` into a PromptError."""
    try:
        yield
    except FileNotFoundError as error:
        raise PromptError(f"{name} does not exist") from error
    except PermissionError as error:
        raise PromptError(f"{name} may not be read: permission denied") from error
    except OSError as error:
        raise PromptError(f"{name} cannot be read: {error.strerror or error}") from error


def expand(paths: Sequence[Path]) -> Listing:
    """List what `paths` name; "-" is standard input. Nothing is read yet.

    Documents are named relative to the deepest folder that holds all of them; a
    folder given alone is that folder. A folder is read recursively, sorted by
    name, without hidden files and links to folders; its files are taken as they
    are, JSONL too.
    Raises PromptError.
    """
    if not paths:
        raise PromptError("no prompt was given", hint='name files, a folder, or "-" for stdin')
    if sum(str(path) == STDIN for path in paths) > 1:
        raise PromptError('standard input ("-") was given twice')
    base = _base([path for path in paths if str(path) != STDIN])
    sources: list[Source] = []
    skipped: list[str] = []
    for path in paths:
        if str(path) == STDIN:
            sources.append(Source(None, "stdin", "text", None))
            continue
        with source_errors(str(path)):
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                _expand_folder(path, base, sources, skipped)
            elif stat.S_ISREG(found.st_mode):
                form: Literal["text", "lines"] = "lines" if _is_jsonl(path) else "text"
                sources.append(Source(path, _name(path, base), form, Stamp.of(found)))
            else:
                sources.append(Source(path, _name(path, base), "text", None))
    single = len(paths) == 1 and not paths[0].is_dir() and sources[0].form == "text"
    return Listing(sources, single, sorted(skipped))


def _expand_folder(folder: Path, base: str, sources: list[Source], skipped: list[str]) -> None:
    prefix = _name(folder, base)
    prefix = "" if prefix == "." else f"{prefix}/"
    found: list[Source] = []
    left_out: list[str] = []
    for path, relative in _walk(os.fspath(folder)):
        name = prefix + _text(relative)
        try:
            status = os.stat(path)
        except FileNotFoundError:  # a broken link, or a file that was just deleted
            left_out.append(name)
            continue
        if stat.S_ISREG(status.st_mode):
            found.append(Source(Path(path), name, "text", Stamp.of(status), in_folder=True))
        else:
            left_out.append(name)
    if not found:
        extra = f" (skipped: {', '.join(left_out[:3])})" if left_out else ""
        raise PromptError(f"the folder {folder} has no files to read{extra}")
    sources += sorted(found, key=lambda source: source.name)
    skipped += left_out


def _walk(folder: str) -> Iterator[tuple[str, str]]:
    """All files of a folder that are not hidden: path, and path relative to the folder."""

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        within = parent[len(folder) :].lstrip(os.sep)
        for name in files:
            if not name.startswith("."):
                yield os.path.join(parent, name), os.path.join(within, name)


def _is_jsonl(path: Path) -> bool:
    return path.suffix.lower() == ".jsonl"


def _base(paths: Sequence[Path]) -> str:
    """The folder that names are relative to."""
    if len(paths) == 1 and paths[0].is_dir():
        return os.path.abspath(paths[0])
    parents = [os.path.dirname(os.path.abspath(path)) for path in paths]
    return os.path.commonpath(parents) if parents else ""


def _name(path: Path, base: str) -> str:
    return _text(os.path.relpath(path, base))


def _text(path: str) -> str:
    """A path as text: a file's name may be any bytes, and Python keeps those as surrogates."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "replace")
