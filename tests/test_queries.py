"""What is asked of a child, or of a model, about several documents."""

from __future__ import annotations

from pathlib import Path

from rlm_local.prompt import open_prompt
from rlm_local.queries import whole_text


def test_documents_of_one_name_are_all_in_the_whole_text(tmp_path: Path) -> None:
    lines = '{"id": "a", "text": "one"}\n{"id": "a", "text": "two"}\n{"id": "b", "text": "three"}\n'
    path = tmp_path / "notes.jsonl"
    path.write_text(lines)
    with open_prompt([path], folder=tmp_path / "spool") as prompt:
        assert whole_text(prompt) == "[a]\none\n\n[a]\ntwo\n\n[b]\nthree"
