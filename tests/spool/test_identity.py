"""A prompt's identity: equal for equal texts, however they came, and for no others."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlm_local.prompt import Prompt, open_prompt, prompt_from_text, prompt_from_texts
from rlm_local.spool import files, writer
from rlm_local.spool.identity import is_held

#: Of every width.
TEXTS = st.text(st.sampled_from("ab\né€😀"), max_size=60)
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


def identity_of(folder: Path, *texts: str) -> str:
    with prompt_from_texts(texts, folder=folder) as prompt:
        return prompt.identity


@given(TEXTS.filter(bool), st.integers(1, 16).map(lambda widest: 4 * widest))
@example("aaé€😀", 4)  # widened twice, in several blocks
def test_it_does_not_depend_on_how_the_text_came(folder: Path, text: str, block: int) -> None:
    path = folder.parent / f"{next(NUMBERS)}.txt"
    path.write_bytes(text.encode())
    pieces = (text[start : start + 7] for start in range(0, len(text), 7))
    found = set()
    with pytest.MonkeyPatch.context() as patch:
        for size in (block, files.BLOCK_BYTES):
            patch.setattr(files, "BLOCK_BYTES", size)
            with open_prompt([path], folder=folder / f"{size}") as prompt:
                found.add(prompt.identity)
            with prompt_from_texts({path.name: text}, folder=folder) as prompt:
                assert prompt.identity not in found  # a list of one text is not that text
        patch.setattr(writer, "PACKED_BYTES", 0)
        with prompt_from_texts({path.name: text}, folder=folder) as prompt:
            other = prompt.identity
        with prompt_from_texts({path.name: pieces}, folder=folder) as prompt:
            assert prompt.identity == other
    assert len(found) == 1


@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=4))
def test_other_texts_have_another(folder: Path, one: list[str], other: list[str]) -> None:
    if any(one) and any(other):
        assert (identity_of(folder, *one) == identity_of(folder, *other)) == (one == other)


def test_names_and_their_order_count(folder: Path) -> None:
    found = set()
    for names in ("ab", "ba", "ac"):
        with prompt_from_texts(dict.fromkeys(names, "x"), folder=folder) as prompt:
            found.add(prompt.identity)
    assert len(found) == 3


@pytest.mark.parametrize("letters", ["ab", "é", "日", "🦊"])
def test_every_character_of_a_long_text_counts(folder: Path, letters: str) -> None:
    text = (letters + "0123456789 and so on\n") * 40_000
    chance = random.Random(letters)
    with prompt_from_text(text, folder=folder) as prompt:
        before = prompt.identity
    for place in (0, len(text) - 1, *(chance.randrange(len(text)) for _ in range(8))):
        changed = "!" if text[place] != "!" else "?"
        other = text[:place] + changed + text[place + 1 :]
        with prompt_from_text(other, folder=folder) as prompt:
            assert prompt.identity != before


@pytest.fixture
def damaged(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Prompt, Path]]:
    with prompt_from_text(request.param * 300_000, folder=folder) as prompt:
        yield prompt, prompt.regions[0].path


@pytest.mark.parametrize("damaged", ["ab", "é", "日", "🦊"], indirect=True)
@pytest.mark.parametrize("byte", [0x00, 0x80, 0xD8, 0xFF])
def test_a_damaged_file_does_not_hold_it(damaged: tuple[Prompt, Path], byte: int) -> None:
    """Whatever stands there then, text or not."""
    prompt, path = damaged
    what = prompt.regions, prompt.documents
    assert is_held(prompt.identity, *what, single=True)
    with path.open("r+b") as file:
        file.seek(270_001)
        file.write(bytes([byte]))
    assert not is_held(prompt.identity, *what, single=True)
    path.write_bytes(path.read_bytes()[:1000])
    assert not is_held(prompt.identity, *what, single=True)
    path.unlink()
    assert not is_held(prompt.identity, *what, single=True)
