"""What names of files, folders and streams stand for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rlm_local.errors import PromptError
from rlm_local.spool.sources import Listing, expand


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.txt", "a/z.txt", "a/b/c.md", "a.txt", ".hidden", ".git/config", "d.jsonl"):
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "notes.txt").write_text("notes")
    return tmp_path


def names(listing: Listing) -> list[str]:
    return [source.name for source in listing.sources]


def test_a_folder_is_sorted_and_relative_and_has_no_hidden_files(tree: Path) -> None:
    listing = expand([tree / "docs"])
    assert names(listing) == ["a.txt", "a/b/c.md", "a/z.txt", "b.txt", "d.jsonl"]
    assert {source.form for source in listing.sources} == {"text"}
    assert all(source.in_folder for source in listing.sources)
    assert not listing.single


def test_a_folder_of_one_file_is_a_list_too(tree: Path) -> None:
    assert names(expand([tree / "docs" / "a" / "b"])) == ["c.md"]
    assert not expand([tree / "docs" / "a" / "b"]).single


def test_a_file_is_single_and_has_its_name(tree: Path) -> None:
    listing = expand([tree / "notes.txt"])
    assert names(listing) == ["notes.txt"]
    assert listing.single
    assert listing.lasting
    assert listing.bytes == 5


def test_several_are_named_from_the_folder_that_holds_them_all(tree: Path) -> None:
    listing = expand([tree / "notes.txt", tree / "docs" / "a", tree / "docs" / "b.txt"])
    assert names(listing) == ["notes.txt", "docs/a/b/c.md", "docs/a/z.txt", "docs/b.txt"]
    assert not listing.single


def test_relative_paths(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "docs" / "a")
    assert names(expand([Path("."), Path("../b.txt")])) == ["a/b/c.md", "a/z.txt", "b.txt"]
    assert names(expand([Path("z.txt")])) == ["z.txt"]
    assert expand([Path()]).base == str(tree / "docs" / "a")


def test_jsonl_is_read_by_lines_when_it_is_named(tree: Path) -> None:
    listing = expand([tree / "docs" / "d.jsonl"])
    assert listing.sources[0].form == "lines"
    assert not listing.single


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b'{"order": 1, "amount": 9}\n{"order": 2}\n', "text"),  # a table
        (b'\xef\xbb\xbf\n {"level": "info"}', "text"),
        (b'{"text": null, "at": 3}\n', "text"),
        (b'{"text": ""}\n', "lines"),
        (b'{"content": "a", "id": 7}\n{"id": 8}\n', "lines"),  # refused when it is read
        (b'"a string"\n', "lines"),
        (b"no JSON\n", "lines"),
        (b"[1]\n", "lines"),
        (b'{"long": "' + b"x" * (1 << 20) + b'"}\n', "lines"),  # not looked at to its end
    ],
)
def test_jsonl_of_records_is_one_text(tmp_path: Path, data: bytes, form: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(data)
    listing = expand([path])
    assert listing.sources[0].form == form
    assert listing.single == (form == "text")


def test_streams(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    listing = expand([Path("-"), tree / "pipe", Path("/dev/null")])
    assert [source.stamp for source in listing.sources] == [None, None, None]
    assert names(listing)[0] == "stdin"
    assert not listing.lasting
    assert expand([Path("-")]).single


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="there is no /proc")
def test_a_file_that_has_text_and_no_size_is_a_stream(tree: Path) -> None:
    assert expand([Path("/proc/version")]).sources[0].stamp is None
    (tree / "notes.txt").write_text("")
    assert expand([tree / "notes.txt"]).lasting


def test_what_cannot_be_a_text_in_a_folder_is_skipped(tree: Path) -> None:
    docs = tree / "docs"
    os.mkfifo(docs / "pipe")
    (docs / "broken").symlink_to("nowhere")
    (docs / "loop").symlink_to("loop")
    (docs / "up").symlink_to("..")
    (docs / "link.txt").symlink_to("../notes.txt")
    listing = expand([docs])
    assert listing.skipped == ["broken", "loop", "pipe"]
    assert "link.txt" in names(listing)
    assert not any(name.startswith("up") for name in names(listing))


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    assert names(expand([tmp_path])) == ["caf\ufffd.txt"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "no prompt was given"),
        (["-", "-"], "given twice"),
        (["missing.txt"], "missing.txt does not exist"),
        (["notes.txt", "notes.txt/x"], "notes.txt/x cannot be read: Not a directory"),
        (["hollow"], "hollow has no files to read"),
    ],
)
def test_errors(
    tree: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str], message: str
) -> None:
    monkeypatch.chdir(tree)
    (tree / "hollow" / ".git").mkdir(parents=True)
    with pytest.raises(PromptError, match=message) as caught:
        expand([Path(path) for path in paths])
    assert caught.value.hint or "Not a directory" in message


def test_a_folder_that_may_not_be_read_is_named(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("docs/a"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PromptError, match="docs/a may not be read: permission denied"):
        expand([tree])


def test_folders_may_nest_as_deep_as_paths_can_be_long(tmp_path: Path) -> None:
    deepest = tmp_path
    for _ in range(1200):
        deepest /= "d"
        deepest.mkdir()
    note = deepest / "note.txt"
    note.write_text("found")
    try:
        assert names(expand([tmp_path])) == ["d/" * 1200 + "note.txt"]
    finally:  # what tidies up after tests goes down by recursion
        note.unlink()
        while deepest != tmp_path:
            deepest.rmdir()
            deepest = deepest.parent
