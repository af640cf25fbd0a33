"""Input that cannot be used, through the command line: one sentence, a way out, exit 2."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

import rlm_local
from rlm_local import cli, runtime
from rlm_local.errors import WindowError
from rlm_local.model import ScriptedModel
from rlm_local.records import Request
from rlm_local.runs import RunStore
from rlm_local.spool.files import DiskFullError
from tests.fakes import Run, cell


@pytest.fixture(autouse=True)
def parts(folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that gives back the prompt."""
    model = ScriptedModel(lambda _: cell("FINAL(context)"))
    monkeypatch.setattr(runtime, "load_model", lambda *_, **__: model)


@pytest.fixture
def ask(run: Run) -> Run:
    def invoke(*arguments: str | Path, question: str = "q") -> tuple[int, str, str]:
        return run("ask", "-q", "--mode", "rlm", question, *arguments)

    return invoke


def written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def refused(answer: tuple[int, str, str], *parts: str) -> None:
    code, out, err = answer
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err
    assert RunStore().ids() == []


def test_a_missing_file(ask: Run, tmp_path: Path):
    refused(ask(tmp_path / "none.txt"), "none.txt", "hint: check the path; a question of several")


def test_a_page_of_the_web(ask: Run):
    refused(ask(Path("https://example.org/page")), "does not exist", "hint: nothing is fetched")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(ask: Run, tmp_path: Path):
    path = written(tmp_path / "secret.txt", b"x")
    path.chmod(0)
    refused(ask(path), "secret.txt", "Permission denied")


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_an_empty_prompt(ask: Run, tmp_path: Path, data: bytes):
    refused(ask(written(tmp_path / "empty.txt", data)), "empty", "hint: ")


def test_an_empty_folder(ask: Run, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    refused(ask(tmp_path / "folder"), "folder", "hint: ")


def test_a_binary_file(ask: Run, tmp_path: Path):
    refused(ask(written(tmp_path / "a.bin", b"\x7fELF\x00\x01\x02" * 100)), "a.bin", "hint: ")


def test_invalid_utf8_names_the_offset_and_the_option(ask: Run, tmp_path: Path):
    path = written(tmp_path / "latin.txt", b"caf\xe9 au lait")
    refused(ask(path), "latin.txt", "3", "--replace-bad-bytes")
    assert ask(path, "--replace-bad-bytes") == (0, "caf\ufffd au lait\n", "")


def test_utf16(ask: Run, tmp_path: Path):
    refused(ask(written(tmp_path / "wide.txt", "wide text".encode("utf-16"))), "UTF-16")


def test_jsonl_that_is_none(ask: Run, tmp_path: Path):
    refused(ask(written(tmp_path / "docs.jsonl", b'"one"\n{"text": \n')), "docs.jsonl", "2")


def test_jsonl_that_is_not_utf8(ask: Run, tmp_path: Path):
    hint = "--replace-bad-bytes"
    path = written(tmp_path / "a.jsonl", b'"x"\n{"id": "seven", "text": "\\ud800"}')
    refused(ask(path), "a.jsonl, line 2 has a lone surrogate, U+D800", hint)
    path = written(tmp_path / "b.jsonl", b'"x"\n"\xff"')
    refused(ask(path), "b.jsonl, line 2 is not valid UTF-8: byte 0xff at offset 5", hint)


def test_jsonl_of_nothing_but_a_byte_order_mark(ask: Run, tmp_path: Path):
    path = written(tmp_path / "a.jsonl", b"\xef\xbb\xbf")
    refused(ask(path), "the prompt is empty: there is no text in ")


def test_binary_files_of_a_folder_are_skipped_and_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    written(tmp_path / "docs" / "one.txt", b"one")
    written(tmp_path / "docs" / "two.txt", b"two")
    written(tmp_path / "docs" / "image.png", b"\x89PNG\x00\x00")
    written(tmp_path / "docs" / "short.pdf", b"%PDF-1.4\n%\xe2\xe3\n")  # without a NUL
    assert cli.run(["ask", "--mode", "rlm", "q", str(tmp_path / "docs")]) == 0
    out, err = capfd.readouterr()
    assert out == "['one', 'two']\n"
    assert "on 6 characters in 2 documents, 2 binary files left out" in err
    assert cli.run(["ask", "--json", "--mode", "rlm", "q", str(tmp_path / "docs")]) == 0
    assert json.loads(capfd.readouterr().out)["skipped"] == 2


def test_a_question_longer_than_the_window(
    ask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def too_long(request: Request) -> str:
        raise WindowError(5_000, 4_096)

    monkeypatch.setattr(runtime, "load_model", lambda *_, **__: ScriptedModel(too_long))
    code, out, err = ask(written(tmp_path / "a.txt", b"x"), question="why? " * 5_000)
    assert (code, out) == (2, "")
    assert "5,000 tokens, and 4,096 fit" in err
    assert "hint: " in err


def test_a_prompt_too_long_for_direct_mode(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = written(tmp_path / "long.txt", b"word " * 200_000)
    assert cli.run(["ask", "-q", "--mode", "direct", "q", str(path)]) == 2
    assert "use --mode rlm" in capfd.readouterr().err
    assert RunStore().ids() == []  # a run that never began, which kept its prompt if it had to


def test_a_disk_without_room_to_keep_the_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"so much")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DiskFullError, match=r"the disk is full: .*prompt cannot be written"):
        rlm_local.ask("q", "a text from memory", model=ScriptedModel())
    assert list(RunStore().folder.iterdir()) == []


def test_names_with_odd_characters_are_harmless_in_errors(ask: Run, tmp_path: Path):
    code, _, err = ask(tmp_path / "a\x1b[2Jb\n.txt")
    assert code == 2
    assert "\x1b" not in err


def test_names_that_are_not_utf8(ask: Run, tmp_path: Path):
    path = written(tmp_path / os.fsdecode(b"caf\xe9.txt"), b"four")
    assert ask(path, question=os.fsdecode(b"caf\xe9?")) == (0, "four\n", "")
    [run_id] = RunStore().ids()
    assert RunStore().setup(run_id).sources == (str(path),)
    assert cli.run(["runs", "fork", run_id, "--turn", "1", "-q"]) == 0


def test_json_mode_keeps_stdout_empty_on_errors(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert cli.run(["ask", "--json", "q", str(tmp_path / "none.txt")]) == 2
    assert capfd.readouterr().out == ""


def test_what_was_asked_is_on_record_as_it_was(ask: Run, tmp_path: Path):
    question = "wh\x1by? 🙂\n"
    assert ask(written(tmp_path / "a.txt", b"x"), question=question)[0] == 0
    [run_id] = RunStore().ids()
    line = (RunStore().folder / run_id / "events.jsonl").read_bytes().splitlines()[0]
    assert json.loads(line)["event"]["question"] == question
