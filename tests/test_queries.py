"""What is asked of a child, or of a model, about several documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.plaincalls import call_chars
from rlm_local.prompt import open_prompt, prompt_from_text, prompt_from_texts
from rlm_local.queries import BEGINNING_DOCUMENTS, beginning, whole_text


def test_documents_of_one_name_are_all_in_the_whole_text(tmp_path: Path) -> None:
    lines = '{"id": "a", "text": "one"}\n{"id": "a", "text": "two"}\n{"id": "b", "text": "three"}\n'
    path = tmp_path / "notes.jsonl"
    path.write_text(lines)
    with open_prompt([path], folder=tmp_path / "spool") as prompt:
        assert whole_text(prompt) == "[a]\none\n\n[a]\ntwo\n\n[b]\nthree"


@pytest.mark.parametrize(
    ("texts", "begins"),
    [
        (["0123456789"], "01234567"),
        (["", "", "abc"], "abc"),
        (["ab", "", "cde", "fghij", "k"], "abcdefgh"),
        (["abcdefgh", "i"], "abcdefgh"),
        (["a"] + [""] * BEGINNING_DOCUMENTS + ["b"], "ab"),
        ([""] + ["é"] * BEGINNING_DOCUMENTS + ["no"], "éééééééé"),
    ],
)
def test_how_a_prompt_begins(tmp_path: Path, texts: list[str], begins: str) -> None:
    with prompt_from_texts(texts, folder=tmp_path) as prompt:
        assert beginning(prompt, 8) == begins


def test_only_so_many_documents_are_opened_for_it(tmp_path: Path) -> None:
    with prompt_from_texts(["a"] * (BEGINNING_DOCUMENTS + 1), folder=tmp_path) as prompt:
        assert beginning(prompt, 1_000) == "a" * BEGINNING_DOCUMENTS


@pytest.mark.parametrize("first", ["", "a", "a b"])
def test_what_fits_a_call_does_not_hang_on_the_first_document(tmp_path: Path, first: str) -> None:
    text, model = "word " * 1_000, ScriptedModel()
    with prompt_from_text(text, folder=tmp_path) as one:
        alone = call_chars(one, Limits(), model)
    with prompt_from_texts([first, text], folder=tmp_path) as both:
        assert call_chars(both, Limits(), model) == pytest.approx(alone, rel=0.01)
