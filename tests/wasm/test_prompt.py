"""Real spools in a guest: every layout that `open_prompt` writes is read as the same texts."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rlm_local.prompt import open_prompt
from tests.wasm.conftest import Fork

TEXTS = {
    "ascii.txt": "plain text\n" * 1000,
    "latin.txt": "café ÿ\n" * 1000,
    "japanese.txt": "日本語のテキスト\n" * 1000,
    "emoji.txt": "🙂 and 𝒜\n" * 1000,
    "short.txt": "s",
    "wide.txt": "🙂",
    "large.txt": "0123456789abcdef" * 20_000,
}


def test_one_file(fork: Fork, tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
        with open_prompt([tmp_path / name], folder=tmp_path / "spool") as prompt:
            guest = fork(prompt=prompt)
            assert guest.value("type(context).__name__, len(context)") == f"('str', {len(text)})"
            guest.run("FINAL(context)")
            assert guest.calls == [("final", [text])]


def test_a_folder(fork: Fork, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    with open_prompt([folder], folder=tmp_path / "spool") as prompt:
        guest = fork(prompt=prompt, memory_bytes=256 << 20)
        names = json.loads(guest.value("import json; json.dumps(context_names)").strip("'"))  # type: ignore[union-attr]
        assert sorted(Path(name).name for name in names) == sorted(TEXTS)
        guest.run("import json; FINAL(json.dumps(context))")
        ((_, (texts,)),) = guest.calls
        assert json.loads(str(texts)) == [TEXTS[Path(name).name] for name in names]


def test_lines_of_json_from_stdin(fork: Fork, tmp_path: Path) -> None:
    lines = [json.dumps({"id": n, "text": f"document {n} é 日 🙂"[: 10 + n]}) for n in range(50)]
    stdin = io.BytesIO("\n".join(lines).encode())
    with open_prompt([Path("-")], stdin=stdin, folder=tmp_path / "spool") as prompt:
        assert "document 7" in str(fork(prompt=prompt).value("str(context)[:2000]"))


def test_two_forks_of_one_prompt_and_the_spool_given_up(fork: Fork, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("shared " * 1000)
    prompt = open_prompt([tmp_path / "text"], folder=tmp_path / "spool")
    guests = [fork(prompt=prompt) for _ in range(2)]
    prompt.close()
    assert [guest.value("context.count('shared')") for guest in guests] == ["1000", "1000"]
