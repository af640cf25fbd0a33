"""Some of a prompt's documents as a prompt of their own: the same texts, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_local.errors import PromptError
from rlm_local.part import Part
from rlm_local.prompt import Prompt, prompt_from_texts
from rlm_local.spool import writer
from tests.spool.contract import PAGE, check

#: Packed ones of all widths, some over many pages, and some with files of their own.
TEXTS = [
    ("é日🦊"[number % 4 - 1] if number % 4 else "a") * (number * 7919 % 90_000) + f" {number}"
    for number in range(120)
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prompt]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "PACKED_BYTES", 80_000)
        texts = [*TEXTS, *[""] * 3]
        with prompt_from_texts(texts, folder=tmp_path_factory.mktemp("spool")) as prompt:
            assert len(prompt.regions) > 5
            yield prompt


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 119), st.integers(1, 40))
def test_it_has_those_texts(whole: Prompt, start: int, count: int) -> None:
    stop = min(start + count, 120)
    part = Part(whole, start, stop)
    assert check(part) == TEXTS[start:stop]
    assert [document.name for document in part.documents[:3]] == [
        document.name for document in whole.documents[start:stop][:3]
    ]
    assert part.documents[-1] == [*part.documents][-1] == part.documents[::-1][0]
    assert part.read(0) == TEXTS[start]
    assert part.preview(5) == TEXTS[start][:5]
    # Nothing but the pages that they lie in.
    sizes = [(d.chars * d.kind) // PAGE + 3 for d in part.documents]
    assert part.mapped_bytes <= sum(sizes) * PAGE
    assert part.describe()["documents"] == stop - start


def test_a_part_of_a_part(whole: Prompt) -> None:
    assert check(Part(Part(whole, 10, 90), 20, 30)) == TEXTS[30:40]


def test_all_of_it(whole: Prompt) -> None:
    part = Part(whole, 0, 123)
    assert check(part) == check(whole)
    assert (part.chars, part.bytes) == (whole.chars, whole.bytes)


def test_what_it_is_tells_it_from_others(whole: Prompt) -> None:
    parts = [Part(whole, *range_) for range_ in ((0, 5), (0, 6), (1, 6))]
    assert len({part.identity for part in parts}) == 3
    assert Part(whole, 0, 5).identity == parts[0].identity


@pytest.mark.parametrize("places", [(-1, 5), (5, 5), (6, 5), (0, 124), (123, 124)])
def test_no_such_documents(whole: Prompt, places: tuple[int, int]) -> None:
    with pytest.raises(PromptError, match="there are no documents"):
        Part(whole, *places)


def test_documents_without_text(whole: Prompt) -> None:
    with pytest.raises(PromptError, match="the prompt is empty"):
        Part(whole, 120, 123)


def test_it_is_closed_with_the_whole(tmp_path: Path) -> None:
    with prompt_from_texts(["a", "b"], folder=tmp_path) as prompt:
        part = Part(prompt, 1, 2)
        with part:
            pass
        assert not part.closed
        assert part.read(0) == "b"
    assert part.closed
