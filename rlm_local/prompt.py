"""Prompts of any length, as files that a sandbox can map.

`open_prompt` turns what the user names into a spool (see `rlm_local.spool`):
checked, and in the very bytes that CPython keeps a `str` in. It does so once;
the next prompt from unchanged files is there at once.

    with open_prompt([Path("logs"), Path("notes.txt")]) as prompt:
        print(prompt.preview(200))

What is read:
- a file: one text. Several, or a folder: a list of texts. A folder's hidden
  files are left out, and so are its binary ones, which `skipped` names;
- `.jsonl`: each line a JSON string, or an object with the document in its
  `text` or `content`, and perhaps its name in `id`, `name` or `title`; one that
  begins with an object without either is one text;
- "-", a pipe or a device: a stream, read to its end. Its spool is not kept.

Text is UTF-8. A byte order mark at the start is dropped; line ends stay as they
are. UTF-16, NUL bytes near the start (a binary file) and, unless they are to be
replaced, invalid bytes are a PromptError that says where.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO

import msgspec

from rlm_local.closing import Closing
from rlm_local.errors import PromptError
from rlm_local.paths import cache_folder
from rlm_local.spool.files import DiskFullError, spool_errors, spool_read_errors
from rlm_local.spool.identity import is_held
from rlm_local.spool.index import FORMAT, Document, Documents, Manifest, Region
from rlm_local.spool.sources import Listing, expand, path_text
from rlm_local.spool.store import Lease, Store
from rlm_local.spool.utf8 import BadBytes
from rlm_local.spool.writer import MANIFEST, Progress, SourceChangedError, SpoolWriter

__all__ = [
    "Document",
    "Prompt",
    "Region",
    "open_kept",
    "open_prompt",
    "prompt_from_text",
    "prompt_from_texts",
]

# File systems keep times in the kernel's ticks: two writes within one look alike.
_TICK_NS = 20_000_000

_NAMES_SHOWN = 10  # in a prompt's description
_CODECS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


class Prompt(Closing):
    """A spooled prompt. Its files stay as they are until it is closed.

    `single`: the guest sees one `str`, otherwise a list of `str`. `chars` and
    `bytes` are of all documents, in characters and in bytes of UTF-8.
    `skipped` names what was found in folders and is not text. `reused`: the
    spool was there already.
    """

    def __init__(
        self,
        lease: Lease,
        manifest: Manifest,
        *,
        sources: Sequence[Path] = (),
        bad_bytes: BadBytes = "error",
        reused: bool = False,
    ) -> None:
        self.regions: Sequence[Region] = tuple(
            Region(lease.folder / region.file, 0, region.length) for region in manifest.regions
        )
        documents = Documents(lease.folder)
        self.documents: Sequence[Document] = documents
        self.single = manifest.single
        self.chars = manifest.chars
        self.bytes = manifest.bytes
        self.skipped = manifest.skipped
        #: What tells its content from any other's: see `rlm_local.spool.identity`.
        self.identity = manifest.identity
        self.bad_bytes: BadBytes = bad_bytes
        self.reused = reused
        #: Where the spools of its children's contexts go: beside its own; None is the cache.
        self.spools: Path | None = lease.folder.parent
        self._folder = lease.folder
        #: The files and folders that it was read from, so that `open_prompt` gives it again;
        #: none for a stream or texts from memory, whose spool is gone when it is closed.
        self.sources: tuple[Path, ...] = (
            () if lease.temporary else tuple(Path(path).absolute() for path in sources)
        )
        self._sources = tuple(path_text(str(path)) for path in sources)
        self._kind = manifest.kind
        self._release = weakref.finalize(self, _release, documents, lease)

    @property
    def mapped_bytes(self) -> int:
        """Address space that the regions take together."""
        return sum(region.length for region in self.regions)

    @property
    def closed(self) -> bool:
        return not self._release.alive

    def keep(self, folder: Path) -> None:
        """Make `folder`, which is not there yet, hold the spool too, for `open_kept`.

        Its files are linked, or copied where that cannot be. Raises PromptError.
        """
        with spool_errors(folder):
            folder.mkdir(mode=0o700)
            for path in sorted(self._folder.rglob("*")):  # folders before what they hold
                copy = folder / path.relative_to(self._folder)
                if path.is_dir():
                    copy.mkdir(mode=0o700)
                else:
                    _link(path, copy)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> str:
        """Characters `start` to `stop` (its end, if None) of document `index`, as slicing does.
        Raises PromptError if the spool is gone."""
        document = self.documents[index]
        region = self.regions[document.region]
        first, last, _ = slice(start, stop).indices(document.chars)
        with spool_read_errors(self._folder), region.path.open("rb") as file:
            file.seek(region.offset + document.start + first * document.kind)
            data = file.read(max(0, last - first) * document.kind)
        return data.decode(_CODECS[document.kind])

    def preview(self, chars: int) -> str:
        """At most `chars` characters from the beginning of the first document."""
        return self.read(0, 0, max(0, chars))

    def describe(self) -> dict[str, object]:
        """What a run's record says of its prompt: plain JSON, small for any prompt."""
        return {
            "sources": list(self._sources),
            "single": self.single,
            "documents": len(self.documents),
            "names": [document.name for document in self.documents[:_NAMES_SHOWN]],
            "chars": self.chars,
            "bytes": self.bytes,
            "kind": self._kind,
            "skipped": len(self.skipped),
            "identity": self.identity,
        }

    def close(self) -> None:
        """Give up the spool: it may be removed from now on. Closing twice is harmless."""
        self._release()


def open_prompt(
    sources: Sequence[Path],
    *,
    stdin: BinaryIO | None = None,
    bad_bytes: BadBytes = "error",
    progress: Progress | None = None,
    folder: Path | None = None,
) -> Prompt:
    """Spool what `sources` name, or find it spooled already.

    A spool is reused if path, size, modification time and inode of every file
    are what they were. `stdin` is what "-" reads, by default the process's own.
    `bad_bytes="replace"` puts U+FFFD for bytes that are not UTF-8. `progress`
    is called with bytes done and bytes to do, 0 if that is not known. `folder`
    holds the spools, by default one in the user's cache.

    Raises PromptError, with the file and what is wrong with it, and ConfigError
    if the folder cannot be used.
    """
    store = Store(_folder(folder))
    paths = [Path(source) for source in sources]
    may_retry = True
    while True:
        listing = expand(paths)
        key = _key(listing, bad_bytes) if listing.lasting else None
        prompt = _reopen(store, key, paths, bad_bytes) if key else None
        if prompt is not None:
            return prompt
        try:
            return _spool(store, key, listing, paths, stdin, bad_bytes, progress)
        except SourceChangedError:
            if not (key and may_retry):
                raise
        except DiskFullError as error:
            if not (key and may_retry and store.evict(0)):
                raise store.full(listing.bytes) from error
        may_retry = False


def prompt_from_text(
    text: str | Iterator[str], *, bad_bytes: BadBytes = "error", folder: Path | None = None
) -> Prompt:
    """Spool one text that is in memory, for as long as the prompt is open.

    A very long one may come as an iterator over its pieces.
    A lone surrogate, which is no character, is a PromptError, or U+FFFD.
    """
    return _spool_texts([("text", text)], single=True, bad_bytes=bad_bytes, folder=folder)


def prompt_from_texts(
    texts: Mapping[str, str] | Mapping[str, str | Iterator[str]] | Sequence[str],
    *,
    bad_bytes: BadBytes = "error",
    folder: Path | None = None,
) -> Prompt:
    """Spool several texts that are in memory; see `prompt_from_text`.

    The keys of a mapping are the documents' names; those of a sequence are
    called "text 1" and so on.
    """
    named: Iterable[tuple[str, str | Iterator[str]]] = (
        texts.items()
        if isinstance(texts, Mapping)
        else ((f"text {number}", text) for number, text in enumerate(texts, 1))
    )
    return _spool_texts(named, single=False, bad_bytes=bad_bytes, folder=folder)


def open_kept(folder: Path) -> Prompt:
    """The prompt that `Prompt.keep` has put into `folder`: all of it is read, since nothing has
    waited for the disk to have it. Raises PromptError."""
    lease = Store(folder.parent).find(folder.name)
    prompt = None if lease is None else _read(lease)
    if prompt is None or not is_held(
        prompt.identity, prompt.regions, prompt.documents, single=prompt.single
    ):
        if lease is not None:
            (prompt or lease).close()
        raise PromptError(
            f"the prompt that was kept in {folder} is gone or damaged",
            hint="ask the question anew",
        )
    prompt.spools = None  # a run's folder is no store: nobody would tidy up there
    return prompt


def _spool(
    store: Store,
    key: str | None,
    listing: Listing,
    paths: Sequence[Path],
    stdin: BinaryIO | None,
    bad_bytes: BadBytes,
    progress: Progress | None,
) -> Prompt:
    """Spool `listing`, and keep it as `key` if there is one."""
    _settle(listing)
    if stdin is None and sys.stdin is not None:
        stdin = sys.stdin.buffer
    with ExitStack() as undo:
        draft = undo.enter_context(store.draft())
        writer = SpoolWriter(
            draft.folder,
            single=listing.single,
            label=_label(listing, paths),
            bad_bytes=bad_bytes,
            total=listing.bytes if key else 0,
            progress=progress,
        )
        undo.enter_context(closing(writer))
        for source in listing.sources:
            writer.add(source, stdin)
        manifest = writer.finish(listing.skipped)
        if key:
            store.keep(draft, key)
        prompt = Prompt(draft, manifest, sources=paths, bad_bytes=bad_bytes)
        undo.pop_all()
    store.evict()
    return prompt


def _spool_texts(
    texts: Iterable[tuple[str, str | Iterator[str]]],
    *,
    single: bool,
    bad_bytes: BadBytes,
    folder: Path | None,
) -> Prompt:
    store = Store(_folder(folder))
    try:
        with ExitStack() as undo:
            draft = undo.enter_context(store.draft())
            writer = SpoolWriter(draft.folder, single=single, bad_bytes=bad_bytes)
            undo.enter_context(closing(writer))
            for name, text in texts:
                if isinstance(text, str):
                    writer.add_text(name, text)
                else:
                    writer.add_pieces(name, text)
            prompt = Prompt(draft, writer.finish())
            undo.pop_all()
    except DiskFullError as error:
        raise store.full() from error
    return prompt


def _reopen(store: Store, key: str, paths: Sequence[Path], bad_bytes: BadBytes) -> Prompt | None:
    """The spool `key` if it is there and whole; one that is damaged is removed, unless it is in
    use: what failed here may be this process's own trouble."""
    lease = store.find(key)
    if lease is None:
        return None
    prompt = _read(lease, paths, bad_bytes)
    if prompt is None:
        lease.close()
        store.remove(key)
    return prompt


def _read(lease: Lease, paths: Sequence[Path] = (), bad_bytes: BadBytes = "error") -> Prompt | None:
    """The prompt in a folder, if its spool is whole."""
    try:
        manifest = msgspec.json.decode((lease.folder / MANIFEST).read_bytes(), type=Manifest)
        if all(_whole(lease.folder / region.file, region.length) for region in manifest.regions):
            return Prompt(lease, manifest, sources=paths, bad_bytes=bad_bytes, reused=True)
    except (OSError, ValueError):  # missing files, a damaged manifest or table
        pass
    return None


def _whole(path: Path, length: int) -> bool:
    """A region that is shorter than it says would kill the process that maps it."""
    return path.stat().st_size == length


def _key(listing: Listing, bad_bytes: BadBytes) -> str:
    """A name for the spool of `listing`: a digest of all that its content depends on.

    The boot is part of it: spools are not synced to disk, so one of an earlier
    boot may have lost its content to a power cut.
    """
    parts = (
        (FORMAT, _boot(), bad_bytes, listing.single, os.fsencode(listing.base), listing.skipped),
        [(source.name, source.form, source.stamp) for source in listing.sources],
    )
    return hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()[:32]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:  # not Linux
        return ""


def _label(listing: Listing, paths: Sequence[Path]) -> str:
    """What messages call the prompt as a whole."""
    if len(paths) > 1:
        return f"the {len(paths):,} sources"
    return listing.sources[0].label if listing.single else path_text(str(paths[0]))


def _settle(listing: Listing) -> None:
    """Wait, if a file was written just now, until a further write would show in its time."""
    newest = max((source.stamp.mtime_ns for source in listing.sources if source.stamp), default=0)
    wait_ns = newest + _TICK_NS - time.time_ns()
    if 0 < wait_ns <= _TICK_NS:
        time.sleep(wait_ns / 1e9)


def _folder(folder: Path | None) -> Path:
    if folder is None:
        return cache_folder("spool")
    with spool_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.absolute()


def _link(source: Path, target: Path) -> None:
    """The same file by another name; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _release(documents: Documents, lease: Lease) -> None:
    documents.close()
    lease.close()
