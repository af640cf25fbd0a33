"""Lays texts out in a spool's folder.

A prompt's only text, or one of more than PACKED_BYTES, has a file of its own and
starts at byte 0, so that an ASCII file can be a reflink of the user's; one that comes
again, by another path or a hard link, is written once. Smaller ones are packed into
one file, each with room for a `str` header before it. A text that is longer than one
`str` can be is cut into several documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from rlm_local.errors import PromptError
from rlm_local.spool import files
from rlm_local.spool.files import ZERO_BYTES, DiskFullError, SpoolFile, read_blocks, spool_errors
from rlm_local.spool.identity import Identity, text_digest
from rlm_local.spool.index import FORMAT, IndexWriter, Manifest, RegionFile
from rlm_local.spool.lines import read_lines
from rlm_local.spool.sources import Source, Stamp, source_errors
from rlm_local.spool.textfile import TextFile, split
from rlm_local.spool.utf8 import BadBytes, NotTextError, Storage, Utf8Reader, storage_of_utf8

#: The most bytes a `str` may hold where sizes are signed 32-bit numbers, its header included.
STR_BYTES = 2**31 - 1 - 64

#: What a longer text is cut into: several of them fit a 32-bit address space together.
PART_BYTES = 1 << 30

#: Texts up to this many bytes of UTF-8 are packed, if there are several.
PACKED_BYTES = 4 << 20

HEADER_BYTES = 32  # PyCompactUnicodeObject takes 28 on wasm32
ALIGNMENT = 16

MANIFEST = "manifest.json"

_SURROGATES = re.compile("[\ud800-\udfff]")

#: Called with the bytes done and the bytes to do, 0 if that is not known.
Progress = Callable[[int, int], None]


class SourceChangedError(PromptError):
    """A source is no longer what it was when it was listed."""


class _Part(NamedTuple):
    """A text that is a region, or what of a longer one is: its characters, and the digest of
    its UTF-8."""

    region: int
    chars: int
    digest: bytes


class _LongText(NamedTuple):
    """A text that has files of its own, and its size in UTF-8."""

    parts: list[_Part]
    storage: Storage
    size: int


class SpoolWriter:
    """Writes one prompt into the empty folder `folder`.

    `single`: there will be one text. `label` says where it comes from, in
    messages. `total` is the size of the sources in bytes, 0 if it is not known.
    """

    def __init__(
        self,
        folder: Path,
        *,
        single: bool,
        label: str = "",
        bad_bytes: BadBytes = "error",
        total: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self._folder = folder
        self._single = single
        self._label = label
        self._bad_bytes = bad_bytes
        self._done = 0
        self._total = total
        self._progress = progress
        self._index = IndexWriter(folder)
        self._identity = Identity()
        self._long_texts: dict[Stamp, _LongText] = {}
        self._regions: list[RegionFile] = []
        self._pack: _Pack | None = None
        self._bytes = 0
        self._skipped: list[str] = []

    def add(self, source: Source, stdin: BinaryIO | None = None) -> None:
        """Spool one source; `stdin` is what it reads if it has no path.

        Raises PromptError, DiskFullError, SourceChangedError.
        """
        try:
            with source_errors(source.label):
                if source.form == "lines":
                    self._add_lines(source)
                elif not self._single and source.stamp and source.stamp.size <= PACKED_BYTES:
                    self._add_small(source, source.stamp.size)
                else:
                    self._add_large(source, stdin)
        except (DiskFullError, SourceChangedError):
            raise
        except PromptError as error:
            if source.changed():  # then that is the reason for whatever else is wrong
                raise _change(source) from error
            if not (source.in_folder and isinstance(error, NotTextError)):
                raise
            with spool_errors(self._folder):
                self._new_path().unlink(missing_ok=True)  # what there was of it
            self._skipped.append(source.name)

    def add_text(self, name: str, text: str, *, label: str = "") -> None:
        """Spool a text that is in memory; `label` is what messages call it, if not its name.

        Raises PromptError for lone surrogates.
        """
        if not self._single and len(text) <= PACKED_BYTES:
            text, data = self._encoded(label or name, text)
            digest = text_digest(data).digest()
            self._pack_text(name, text, storage_of_utf8(data), len(data), digest)
            return
        self.add_pieces(name, _slices(text), label=label)

    def add_pieces(self, name: str, pieces: Iterable[str], *, label: str = "") -> None:
        """Spool a long text that comes piece by piece. Raises PromptError, as `add_text`."""
        size, digest = 0, text_digest()
        with closing(self._new_text()) as file:
            for whole in pieces:
                piece, data = self._encoded(label or name, whole)
                file.append(piece, max(file.storage, storage_of_utf8(data)))
                size += len(data)
                digest.update(data)
            parts = self._add_regions(file, digest.digest())
        self._enter(name, _LongText(parts, file.storage, size))

    def finish(self, skipped: Iterable[str] = ()) -> Manifest:
        """Write the index and, last of all, the manifest. `skipped`: more names left out."""
        if self._pack is not None:
            self._regions[self._pack.region] = self._pack.finish()
        names = tuple(sorted([*skipped, *self._skipped]))
        if not self._index.chars:
            raise _empty(self._label, len(names))
        self._index.finish()
        single = self._single and len(self._index) == 1
        manifest = Manifest(
            format=FORMAT,
            single=single,
            regions=tuple(self._regions),
            documents=len(self._index),
            chars=self._index.chars,
            bytes=self._bytes,
            kind=self._index.kind,
            skipped=names,
            identity=self._identity.hexdigest(single=single),
        )
        with SpoolFile(self._folder / MANIFEST) as file:
            file.write(msgspec.json.encode(manifest))
        self._advance(self._total - self._done if self._total else 0)
        return manifest

    def close(self) -> None:
        """Close what an error left open. Closing twice is harmless."""
        self._index.close()
        if self._pack is not None:
            self._pack.close()

    def _add_small(self, source: Source, size: int) -> None:
        with source.open() as file:
            data = file.read(size + 1)  # one more, to see a file that has grown
            _refuse_change(source, file, len(data))
        reader = Utf8Reader(source.label, self._bad_bytes)
        text = reader.decode(data, final=True)
        self._pack_text(source.name, text, reader.storage, reader.bytes, reader.digest.digest())
        self._advance(len(data))

    def _add_lines(self, source: Source) -> None:
        with source.open() as file:
            for line in read_lines(file, source.label, self._bad_bytes):
                self.add_text(line.name, line.text, label=line.where)
                self._advance(line.size)
            _refuse_change(source, file, file.tell())

    def _add_large(self, source: Source, stdin: BinaryIO | None) -> None:
        """Spool a text block by block, unless it is here already."""
        if source.stamp and source.stamp in self._long_texts and not source.changed():
            self._enter(source.name, self._long_texts[source.stamp])
            self._advance(source.stamp.size)
            return
        reader = Utf8Reader(source.label, self._bad_bytes)
        with closing(self._new_text()) as text, source.open(stdin) as file:
            if source.stamp:
                for done in text.copy(file, reader):
                    self._advance(done)
            for block in read_blocks(file):
                text.append(reader.decode(block), reader.storage)
                self._advance(len(block))
            text.append(reader.decode(b"", final=True), reader.storage)
            _refuse_change(source, file, reader.offset)
            parts = self._add_regions(text, reader.digest.digest())
            finished = _LongText(parts, text.storage, reader.bytes)
        self._enter(source.name, finished)
        if source.stamp:
            self._long_texts[source.stamp] = finished

    def _new_text(self) -> TextFile:
        return TextFile(self._new_path())

    def _new_path(self) -> Path:
        return self._folder / f"text-{len(self._regions)}"

    def _add_regions(self, text: TextFile, digest: bytes) -> list[_Part]:
        """Make a finished text one region, or several if it is too long for a `str`. `digest`
        is of all of it."""
        kind, storage = text.storage.kind, text.storage
        if text.file.size <= STR_BYTES:
            return [_Part(self._add_region(text.file), text.chars, digest)]
        whole = self._folder / "whole"
        text.file.rename(whole)
        parts: list[_Part] = []
        part, of_part = SpoolFile(self._new_path()), text_digest()
        try:
            for piece, ends in split(text.pieces(), text.chars, PART_BYTES // kind):
                part.write(piece.encode(storage.codec))
                of_part.update(piece.encode())
                if ends:
                    parts.append(_Part(self._add_region(part), part.size // kind, of_part.digest()))
                    part, of_part = SpoolFile(self._new_path()), text_digest()
            parts.append(_Part(self._add_region(part), part.size // kind, of_part.digest()))
        finally:
            part.close()
        with spool_errors(whole):
            whole.unlink()
        return parts

    def _enter(self, name: str, text: _LongText) -> None:
        """Enter a text that has regions of its own, as one document for each."""
        self._bytes += text.size
        for number, part in enumerate(text.parts, 1):
            of = f"[{number}/{len(text.parts)}]" if len(text.parts) > 1 else ""
            self._add_document(name + of, part.region, 0, part.chars, text.storage, part.digest)

    def _add_region(self, file: SpoolFile) -> int:
        """Enter a finished file as a region; its number."""
        self._regions.append(RegionFile(file=file.path.name, length=file.pad()))
        file.close()
        return len(self._regions) - 1

    def _pack_text(self, name: str, text: str, storage: Storage, size: int, digest: bytes) -> None:
        if self._pack is None:
            self._pack = _Pack(self._folder / "pack", region=len(self._regions))
            self._regions.append(RegionFile(file="pack", length=0))  # known at the end
        start = self._pack.append(text.encode(storage.codec))
        self._add_document(name, self._pack.region, start, len(text), storage, digest)
        self._bytes += size

    def _add_document(
        self, name: str, region: int, start: int, chars: int, storage: Storage, digest: bytes
    ) -> None:
        encoded = name.encode("utf-8", "replace")
        self._index.add(encoded, region, start, chars, storage)
        self._identity.add(encoded, region, start, chars, digest)

    def _encoded(self, label: str, text: str) -> tuple[str, bytes]:
        """A text without lone surrogates, and its UTF-8."""
        try:
            return text, text.encode()
        except UnicodeEncodeError as error:
            if self._bad_bytes == "error":
                raise PromptError(
                    f"{label} has a lone surrogate, U+{ord(text[error.start]):04X}: it is no "
                    "character, and UTF-8 cannot hold it",
                    hint="replace it with U+FFFD: --replace-bad-bytes, or replace_bad_bytes=True "
                    "of Runtime.open",
                ) from error
            text = _SURROGATES.sub("\ufffd", text)
            return text, text.encode()

    def _advance(self, done: int) -> None:
        self._done += done
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Pack:
    """A file of small texts, one after the other."""

    def __init__(self, path: Path, region: int) -> None:
        self.region = region
        self._file = SpoolFile(path)
        self._buffer = bytearray()
        self._end = 0  # of the last text

    def append(self, data: bytes) -> int:
        """Add a text; the byte where it starts."""
        gap = ZERO_BYTES + HEADER_BYTES
        start = -(-(self._end + gap) // ALIGNMENT) * ALIGNMENT
        self._buffer += bytes(start - self._end)
        self._buffer += data
        self._end = start + len(data)
        if len(self._buffer) >= files.BLOCK_BYTES:
            self._flush()
        return start

    def finish(self) -> RegionFile:
        with self._file:
            self._flush()
            return RegionFile(file=self._file.path.name, length=self._file.pad())

    def close(self) -> None:
        self._file.close()

    def _flush(self) -> None:
        self._file.write(self._buffer)
        self._buffer.clear()


def _empty(label: str, skipped: int) -> PromptError:
    where = f": there is no text in {label}" if label else ""
    what = "1 file that is no text was" if skipped == 1 else f"{skipped:,} that are no text were"
    return PromptError(
        f"the prompt is empty{where}" + (f" ({what} skipped)" if skipped else ""),
        hint="give one of them by itself: then it is said what it is"
        if skipped
        else "name files that have text, or pipe one in",
    )


def _slices(text: str) -> Iterator[str]:
    size = files.BLOCK_BYTES
    return (text[start : start + size] for start in range(0, len(text), size))


def _refuse_change(source: Source, file: BinaryIO, size: int) -> None:
    """Raise SourceChangedError if `file`, of which `size` bytes were read, is another now."""
    if source.stamp and (source.changed(file.fileno()) or size != source.stamp.size):
        raise _change(source)


def _change(source: Source) -> SourceChangedError:
    return SourceChangedError(
        f"{source.label} changed while it was read",
        hint="wait until it is complete, or give a copy of it",
    )
