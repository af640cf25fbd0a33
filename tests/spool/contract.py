"""Reads a prompt as a sandbox does: by its regions and documents, and nothing else."""

from __future__ import annotations

import mmap

from rlm_local.prompt import Prompt
from rlm_local.spool.identity import is_held

PAGE = 65_536


def check(prompt: Prompt) -> list[str]:
    """All texts of `prompt`, after a check of all that its interface promises."""
    pieces = []
    for region in prompt.regions:
        assert region.offset % PAGE == 0
        assert region.length % PAGE == 0
        assert region.length > 0
        with region.path.open("rb") as file:
            assert region.offset + region.length <= file.seek(0, 2)
            pieces.append(
                mmap.mmap(file.fileno(), region.length, prot=mmap.PROT_READ, offset=region.offset)
            )
    texts = []
    free = [0] * len(pieces)  # up to where each region is taken
    chars = 0
    for document in prompt.documents:
        piece = pieces[document.region]
        end = document.start + document.chars * document.kind
        assert document.start % 16 == 0
        assert document.first_char == chars
        if document.start:
            assert document.start - 32 >= free[document.region]
            assert not any(piece[document.start - 32 : document.start])
        else:  # by itself, or the same text again
            assert free[document.region] in (0, end + 4)
        assert piece[end : end + 4] == b"\0\0\0\0"
        free[document.region] = end + 4
        codec = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[document.kind]
        text = piece[document.start : end].decode(codec)
        assert len(text) == document.chars
        assert (document.kind, document.ascii) == width(text)
        texts.append(text)
        chars += document.chars
    for piece in pieces:
        piece.close()
    assert prompt.chars == chars
    assert prompt.single == (prompt.single and len(texts) == 1)
    if type(prompt) is Prompt:  # what it is, as it was found on the way, is what is there
        single = prompt.single
        assert is_held(prompt.identity, prompt.regions, prompt.documents, single=single)
        assert not is_held(prompt.identity, prompt.regions, prompt.documents, single=not single)
    return texts


def width(text: str) -> tuple[int, bool]:
    """The kind of a `str` and whether it is ASCII, from its widest character (PEP 393)."""
    widest = max(map(ord, text), default=0)
    return (1 if widest < 0x100 else 2 if widest < 0x10000 else 4), widest < 0x80
