"""What the user named as the prompt: files, folders, JSONL, a stream."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from rlm_local.errors import PromptError
from rlm_local.spool.records import holds_records

STDIN = "-"

# What a broken link gives, one that leads to itself, and a file that was just deleted.
_NOTHING_THERE = (errno.ENOENT, errno.ELOOP)


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
    """One thing to read.

    `path` is "-" for standard input; `stamp` is None for all streams. `form`:
    "text" is one document, "lines" one in each line (JSONL). `in_folder`: it was
    found in a folder, where files that are not text are left out.
    """

    path: str
    name: str
    form: Literal["text", "lines"]
    stamp: Stamp | None
    in_folder: bool = False

    @property
    def label(self) -> str:
        """What messages call it."""
        return "standard input" if self.path == STDIN else path_text(self.path)

    def changed(self, file: int | None = None) -> bool:
        """Whether the path, or the open `file`, is no longer what was listed."""
        if self.stamp is None:
            return False
        try:
            return Stamp.of(os.stat(self.path) if file is None else os.fstat(file)) != self.stamp
        except OSError:
            return True

    def open(self, stdin: BinaryIO | None = None) -> AbstractContextManager[BinaryIO]:
        """Open it for reading, or give `stdin`, which stays open.

        Files are unbuffered, as they are read in blocks, unless it is line by line.
        """
        if self.path != STDIN:
            buffering = -1 if self.form == "lines" else 0
            opener = _open_file if self.stamp else None
            return open(self.path, "rb", buffering=buffering, opener=opener)
        if stdin is None:
            raise PromptError("there is no standard input to read")
        return nullcontext(stdin)


class Listing(NamedTuple):
    """All that is to be read, in order.

    `base` is the folder that names are relative to. `single`: it is one text,
    not a list of texts. `skipped`: names of what folders hold and cannot be
    read as a file (sockets, broken links, …).
    """

    base: str
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
    except OSError as error:
        where = name if error.filename is None else path_text(error.filename)
        if isinstance(error, FileNotFoundError):
            hint = "check the path; a question of several words stands in quotes"
            if where.startswith(("http:/", "https:/")):
                hint = "nothing is fetched; pipe a page in: curl URL | rlm-local ask QUESTION -"
            raise PromptError(f"{where} does not exist", hint=hint) from error
        if isinstance(error, PermissionError):
            raise PromptError(
                f"{where} may not be read: permission denied",
                hint="make it readable for you, or give a copy of it",
            ) from error
        raise PromptError(f"{where} cannot be read: {error.strerror or error}") from error


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
        raise PromptError('standard input ("-") was given twice', hint="give it once")
    base = _base([path for path in paths if str(path) != STDIN])
    sources: list[Source] = []
    skipped: list[str] = []
    for path in paths:
        if str(path) == STDIN:
            sources.append(Source(STDIN, "stdin", "text", None))
            continue
        with source_errors(path_text(str(path))):
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                _expand_folder(path, base, sources, skipped)
                continue
            lasting = stat.S_ISREG(found.st_mode)
            if lasting and found.st_size == 0:  # so do the files in /proc say, and have text
                with path.open("rb") as file:
                    lasting = not file.read(1)
            form: Literal["text", "lines"] = "lines" if lasting and _is_jsonl(path) else "text"
        stamp = Stamp.of(found) if lasting else None
        sources.append(Source(str(path), _name(path, base), form, stamp))
    only = sources[0]
    single = len(paths) == len(sources) == 1 and only.form == "text" and not only.in_folder
    return Listing(base, sources, single, sorted(skipped))


def _expand_folder(folder: Path, base: str, sources: list[Source], skipped: list[str]) -> None:
    prefix = _name(folder, base)
    found: list[Source] = []
    left_out: list[str] = []
    for entry, name in _walk(str(folder), "" if prefix == "." else f"{prefix}/"):
        try:
            status = entry.stat()
        except OSError as error:
            if error.errno not in _NOTHING_THERE:
                raise
            left_out.append(name)
            continue
        if stat.S_ISREG(status.st_mode):
            found.append(Source(entry.path, name, "text", Stamp.of(status), in_folder=True))
        elif not stat.S_ISDIR(status.st_mode):
            left_out.append(name)
    if not found:
        extra = f" (skipped: {', '.join(left_out[:3])})" if left_out else ""
        raise PromptError(
            f"the folder {folder} has no files to read{extra}",
            hint="name files or another folder; hidden files and links to folders are left out",
        )
    sources += sorted(found, key=lambda source: source.name)
    skipped += left_out


def _walk(folder: str, prefix: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    """All that is in a folder and not hidden, but folders, with names that begin with `prefix`."""
    folders = [(folder, prefix)]
    while folders:
        folder, prefix = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = prefix + path_text(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.path, f"{name}/"))
                else:
                    yield entry, name


def _open_file(path: str, flags: int) -> int:
    """Open what was a file when it was listed. A pipe in its place is not waited for."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK)
    except BlockingIOError:  # someone has a lease on it, and is asked to give that up
        return os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file any more", path)
    os.set_blocking(descriptor, True)
    return descriptor


def _is_jsonl(path: Path) -> bool:
    """Whether each line of a file is a document. Of records, as of a table, none is."""
    if path.suffix.lower() != ".jsonl":
        return False
    with path.open("rb") as file:
        return not holds_records(file)


def _base(paths: Sequence[Path]) -> str:
    """The folder that names are relative to."""
    if len(paths) == 1 and paths[0].is_dir():
        return os.path.abspath(paths[0])
    parents = [os.path.dirname(os.path.abspath(path)) for path in paths]
    return os.path.commonpath(parents) if parents else ""


def _name(path: Path, base: str) -> str:
    return path_text(os.path.relpath(path, base))


def path_text(path: str) -> str:
    """A path as text: a file's name may be any bytes, and Python keeps those as surrogates."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "replace")
