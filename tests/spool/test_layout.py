"""Texts on disk: they come back from the mapped bytes, wherever blocks and parts are cut."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rlm_local.prompt
from rlm_local.errors import PromptError
from rlm_local.prompt import open_prompt, prompt_from_text, prompt_from_texts
from rlm_local.spool import files, store, writer
from rlm_local.spool.textfile import split
from tests.spool.contract import check

# Texts of each width, often long enough to cross several blocks of the patched size.
ALPHABETS = ["ab\n", "aé\n", "aé€\n", "aé€😀\n"]
TEXTS = st.one_of(
    st.text(max_size=80),
    st.sampled_from(ALPHABETS).flatmap(lambda letters: st.text(letters, max_size=200)),
).map(lambda text: text.replace("\0", "0"))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


#: For tests that make a dozen files in each example.
FEWER = settings(max_examples=40, deadline=None)

EXAMPLES = itertools.count()


def fresh(folder: Path) -> Path:
    """A folder for the files of one example: no file of another is taken for one of its."""
    made = folder / f"example-{next(EXAMPLES)}"
    made.mkdir()
    return made


@pytest.fixture(scope="module", autouse=True)
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK_BYTES", 64)
        patch.setattr(writer, "PACKED_BYTES", 100)
        patch.setattr(rlm_local.prompt, "_TICK_NS", 0)  # each example writes its files anew
        patch.setattr(store, "STORE_SPOOLS", 5)
        yield


@FEWER
@given(TEXTS)
@example("x" * 65_536)
@example("x" * 65_532)
@example("x" * 65_533)
@example("\ufeffabc")
@example("x" * 63 + "é")
@example("x" * 62 + "😀" + "\n")
def test_one_file(folder: Path, text: str) -> None:
    path = fresh(folder) / "one.txt"
    path.write_bytes(text.encode())
    expected = text.removeprefix("\ufeff")
    if not expected:
        with pytest.raises(PromptError, match="the prompt is empty"):
            open_prompt([path], folder=folder / "spool")
        return
    with open_prompt([path], folder=folder / "spool") as prompt:
        assert check(prompt) == [expected]
        assert prompt.single
        assert prompt.documents[0].start == 0
        assert prompt.bytes == len(expected.encode())
        assert prompt.preview(9) == expected[:9]


@FEWER
@given(st.lists(TEXTS, min_size=1, max_size=9).filter(any))
def test_several_files(folder: Path, texts: list[str]) -> None:
    texts = [text.removeprefix("\ufeff") for text in texts]
    here = fresh(folder)
    paths = [here / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(b"\xef\xbb\xbf" + text.encode() if len(text) % 2 else text.encode())
    with open_prompt([*paths, paths[0]], folder=folder / "spool") as prompt:
        assert check(prompt) == [*texts, texts[0]]
        assert not prompt.single


@FEWER
@given(st.lists(st.text(max_size=300), min_size=1, max_size=9).filter(any))
def test_texts_in_memory(folder: Path, texts: list[str]) -> None:
    with prompt_from_texts(texts, folder=folder / "spool") as prompt:
        assert check(prompt) == texts
        assert prompt.bytes == sum(len(text.encode()) for text in texts)
        assert [prompt.read(index) for index in range(len(texts))] == texts
        assert prompt.documents[0].name == "text 1"


@FEWER
@given(st.text(min_size=1, max_size=300))
def test_one_text_in_memory(folder: Path, text: str) -> None:
    with prompt_from_text(text, folder=folder / "spool") as prompt:
        assert check(prompt) == [text]
        assert prompt.single


@FEWER
@given(
    st.sampled_from(ALPHABETS).flatmap(lambda letters: st.text(letters, min_size=1)), st.booleans()
)
@example("x" * 1000, False)
@example("x" * 160, True)
@example("x" * 161, True)
@example("line\n" * 200, False)
@example("é€😀\n" * 50, True)
def test_a_text_longer_than_a_str_is_cut(folder: Path, text: str, from_file: bool) -> None:
    text = text.removeprefix("\ufeff")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "STR_BYTES", 160)
        patch.setattr(writer, "PART_BYTES", 160)
        if from_file:
            path = fresh(folder) / "long.txt"
            path.write_bytes(text.encode())
            prompt = open_prompt([path], folder=folder / "spool")
        else:
            prompt = prompt_from_text(text, folder=folder / "spool")
        with prompt:
            parts = check(prompt)
            documents = list(prompt.documents)
    name = "long.txt" if from_file else "text"
    assert "".join(parts) == text
    assert all(0 < document.chars * document.kind <= 160 for document in documents)
    assert prompt.single == (len(parts) == 1)
    if len(parts) > 1:
        names = [f"{name}[{number}/{len(parts)}]" for number in range(1, len(parts) + 1)]
        assert [document.name for document in documents] == names


@settings(deadline=None)
@given(
    st.text("ab\n", max_size=400),
    st.integers(1, 150),
    st.integers(1, 100),
)
@example("\n" + "a" * 20, 8, 30)
def test_split(text: str, most: int, piece: int) -> None:
    pieces = [text[start : start + piece] for start in range(0, len(text), piece)]
    parts = [""]
    for part, ends in split(pieces, len(text), most):
        parts[-1] += part
        if ends:
            parts.append("")
    assert "".join(parts) == text
    assert all(len(part) <= most for part in parts)
    assert text == "" or all(parts)
    assert all(2 * len(part) >= most for part in parts[:-1])  # no crumbs


def test_a_split_is_at_the_end_of_a_line() -> None:
    text = "0123456789abcdef\n" * 100
    pieces = [text[start : start + 64] for start in range(0, len(text), 64)]
    ends = [part[-1] for part, ends in split(pieces, len(text), 500) if ends]
    assert len(ends) >= 3
    assert set(ends) == {"\n"}


def test_lone_surrogates(folder: Path) -> None:
    text = "ab\ud83d\udc00c"
    for make in (prompt_from_text, lambda text, **options: prompt_from_texts([text], **options)):
        with pytest.raises(PromptError, match=r"a lone surrogate, U\+D83D"):
            make(text, folder=folder / "spool")
        with make(text, folder=folder / "spool", bad_bytes="replace") as prompt:
            assert check(prompt) == ["ab\ufffd\ufffdc"]


def test_a_long_file_that_comes_again_is_spooled_once(folder: Path) -> None:
    docs = fresh(folder)
    (docs / "a.txt").write_text("é long text\n" * 500_000)
    os.link(docs / "a.txt", docs / "b.txt")
    (docs / "c.txt").write_text("é long text\n" * 500_000)  # equal, and a file of its own
    (docs / "d.txt").symlink_to("a.txt")
    with open_prompt([docs], folder=folder / "spool") as prompt:
        assert len({*check(prompt)}) == 1
        assert [document.region for document in prompt.documents] == [0, 0, 1, 0]
        assert len(prompt.regions) == 2
        assert prompt.bytes == 4 * 13 * 500_000


def test_the_index_is_written_as_it_grows(folder: Path) -> None:
    texts = (f"text {number}" for number in range(20_000))
    with prompt_from_texts({str(n): text for n, text in enumerate(texts)}, folder=folder) as prompt:
        assert len(prompt.documents) == 20_000
        assert [document.name for document in prompt.documents] == list(map(str, range(20_000)))
        assert prompt.documents[12_345] == prompt.documents[12_340:12_350][5]
        assert prompt.read(12_345) == "text 12345"
        assert prompt.documents[19_999:30_000] == [prompt.documents[-1]]
        assert prompt.documents[5:2] == []
