"""UTF-8 that arrives in blocks: checked, decoded, and its widest character found."""

from __future__ import annotations

import codecs
from enum import IntEnum
from typing import Literal

import numpy as np

from rlm_local.errors import PromptError
from rlm_local.spool.identity import text_digest

BadBytes = Literal["error", "replace"]

#: What to try where a text is not UTF-8.
BAD_BYTES_HINT = (
    "replace bad bytes (--replace-bad-bytes, or replace_bad_bytes=True of Runtime.open), or "
    "convert the file, if it is Latin-1 by "
    "iconv -f LATIN1 -t UTF-8 FILE > NEW"
)

#: How much of a text is searched for NUL bytes, the mark of a binary file.
HEAD_BYTES = 65_536

# UTF-32 first: its little-endian mark begins with the one of UTF-16.
_FOREIGN = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
#: How files begin that hold text, and are none; what they are, and what to try.
_PACKED = (
    (b"%PDF-", "a PDF file", "extract its text first: pdftotext FILE NEW.txt"),
    (
        b"PK\x03\x04",
        "a ZIP archive, as .docx, .xlsx and .epub are",
        "unpack it, or extract its text first: pandoc -t plain FILE -o NEW.txt",
    ),
    (b"\x1f\x8b", "compressed by gzip", "unpack it first: gunzip FILE"),
    (b"\xfd7zXZ\0", "compressed by xz", "unpack it first: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it first: unzstd FILE"),
)
_LONGEST_MARK = max(len(mark) for mark, *_ in (*_FOREIGN, *_PACKED))


class Storage(IntEnum):
    """How CPython keeps a text (PEP 393), narrowest first, so that max() is the widest."""

    ASCII = 0
    LATIN1 = 1
    UCS2 = 2
    UCS4 = 3

    @property
    def kind(self) -> int:
        """Bytes per character."""
        return (1, 1, 2, 4)[self]

    @property
    def codec(self) -> str:
        return ("ascii", "latin-1", "utf-16-le", "utf-32-le")[self]


class NotTextError(PromptError):
    """The bytes are no text at all, or in another encoding: a folder skips such files."""


def storage_of_utf8(data: bytes) -> Storage:
    """What the text of `data`, valid UTF-8, needs.

    The highest byte tells: continuation bytes lie below all lead bytes, lead
    bytes up to C3 make characters up to U+00FF, and those from F0 on make the
    ones above U+FFFF.
    """
    if data.isascii():
        return Storage.ASCII
    highest = int(np.frombuffer(data, np.uint8).max())
    if highest <= 0xC3:
        return Storage.LATIN1
    return Storage.UCS2 if highest < 0xF0 else Storage.UCS4


def refuse_foreign(data: bytes, name: str) -> None:
    """Raise NotTextError if a text called `name`, which begins with `data`, is marked as none."""
    for mark, encoding in _FOREIGN:
        if data.startswith(mark):
            raise _foreign(name, encoding)
    for mark, what, hint in _PACKED:
        if data.startswith(mark):
            raise NotTextError(f"{name} is {what}, and only text is read", hint=hint)


def _foreign(name: str, encoding: str) -> NotTextError:
    return NotTextError(
        f"{name} is {encoding}, and only UTF-8 is read",
        hint=f"convert it first: iconv -f {encoding} -t UTF-8 FILE > NEW",
    )


def _unmarked_utf16(head: bytes) -> str:
    """Which UTF-16 a text seems to be that begins with `head`: half of its bytes are mostly NUL."""
    for encoding, high, low in (
        ("UTF-16LE", head[1::2], head[0::2]),
        ("UTF-16BE", head[0::2], head[1::2]),
    ):
        if 4 * high.count(0) >= 3 * len(high) and 0 not in low:
            return encoding
    return ""


class Utf8Reader:
    """Decodes one text. Blocks may be cut anywhere, also within a character.

    A UTF-8 byte order mark at the start is dropped; nothing else is translated,
    line ends included. `chars`, `bytes` (of the text, without the mark), `storage` and
    `digest` are of what was decoded so far. `name` is for messages.
    """

    def __init__(self, name: str, bad_bytes: BadBytes) -> None:
        self.chars = 0
        self.bytes = 0
        self.storage = Storage.ASCII
        self.digest = text_digest()
        self.has_bom = False
        self._name = name
        self._bad_bytes = bad_bytes
        self._offset = 0  # of the first byte of `_pending`, in the source
        self._pending = b""  # a character that is not complete yet
        self._started = False

    @property
    def offset(self) -> int:
        """Bytes of the source that are decoded, with the byte order mark."""
        return self._offset

    def decode(self, block: bytes, *, final: bool = False) -> str:
        """The characters that `block` completes. `final`: no block follows.

        Raises PromptError for bytes that are not UTF-8, with their offset (not
        if they are to be replaced), and NotTextError for a binary file.
        """
        data = self._pending + block if self._pending else block
        if not self._started:
            if len(data) < _LONGEST_MARK and not final:
                self._pending = data
                return ""
            data = self._start(data)
        if self._offset < HEAD_BYTES:
            self._refuse_nul(data)
        text, used, size = self._decode(data, final)
        self._pending = data[used:]
        self._offset += used
        self.bytes += size
        self.chars += len(text)
        return text

    def _start(self, data: bytes) -> bytes:
        self._started = True
        refuse_foreign(data, self._name)
        if data.startswith(codecs.BOM_UTF8):
            self.has_bom = True
            self._offset = len(codecs.BOM_UTF8)
        return data[self._offset :]

    def _refuse_nul(self, data: bytes) -> None:
        place = data.find(b"\0", 0, HEAD_BYTES - self._offset)
        if place >= 0:
            if self._offset == 0 and (encoding := _unmarked_utf16(data[:HEAD_BYTES])):
                raise _foreign(self._name, encoding)
            raise NotTextError(
                f"{self._name} is a binary file: it has a NUL byte at offset "
                f"{self._offset + place:,}",
                hint="extract its text first",
            )

    def _decode(self, data: bytes, final: bool) -> tuple[str, int, int]:
        """The text, how many bytes of the data it took, and how many it has itself."""
        try:
            text, used = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError as error:
            if self._bad_bytes == "error":
                raise PromptError(
                    f"{self._name} is not valid UTF-8: byte 0x{data[error.start]:02x} at offset "
                    f"{self._offset + error.start:,} ({error.reason})",
                    hint=BAD_BYTES_HINT,
                ) from error
            text, used = codecs.utf_8_decode(data, "replace", final)
            encoded = text.encode()
            self.digest.update(encoded)
            size, storage = len(encoded), storage_of_utf8(encoded)
        else:
            size = used
            self.digest.update(memoryview(data)[:used])
            if text.isascii():  # known without a look at the characters
                return text, used, size
            storage = storage_of_utf8(data[:used] if used < len(data) else data)
        self.storage = max(self.storage, storage)
        return text, used, size
