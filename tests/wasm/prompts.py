"""Prompts made of given texts, laid out as a spool lays them out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from rlm_local.prompt import Document, Region

_CODECS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
_BEFORE, _AFTER, _ALIGNMENT = 32, 4, 8


def kind_of(text: str) -> int:
    widest = max(map(ord, text), default=0)
    return 1 if widest < 1 << 8 else 2 if widest < 1 << 16 else 4


class TextPrompt:
    """What a sandbox reads of a `Prompt`. `packed`: all texts share one region."""

    def __init__(
        self, folder: Path, texts: Sequence[str], *, single: bool = False, packed: bool = False
    ) -> None:
        self.single = single or len(texts) == 1
        self.regions: list[Region] = []
        self.documents: list[Document] = []
        folder.mkdir(parents=True, exist_ok=True)
        pack = bytearray()
        digest = hashlib.sha256(f"{packed}".encode())
        for number, text in enumerate(texts):
            kind = kind_of(text)
            data = text.encode(_CODECS[kind], "surrogatepass")
            digest.update(b"%d %d " % (kind, len(data)) + data)
            start = 0
            if packed:
                start = -(-(len(pack) + _BEFORE) // _ALIGNMENT) * _ALIGNMENT
                pack += bytes(start - len(pack)) + data + bytes(_AFTER)
            else:
                self._add_region(folder / f"text-{number}", data)
            name = f"{number}.txt"
            region = 0 if packed else number
            self.documents.append(Document(name, region, start, len(text), kind, text.isascii()))
        if packed:
            self._add_region(folder / "pack", bytes(pack))
        self.identity = digest.hexdigest()

    def _add_region(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.regions.append(Region(path, 0, len(data)))


class FilePrompt:
    """One text that is a file as it is: `chars` characters of ASCII."""

    single = True

    def __init__(self, path: Path, chars: int) -> None:
        self.regions = [Region(path, 0, chars)]
        self.documents = [Document(path.name, 0, 0, chars, 1, True)]
        self.identity = f"{path} {chars}"
