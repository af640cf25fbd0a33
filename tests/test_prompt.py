"""Prompts: from what the user names to the files that a sandbox maps."""

from __future__ import annotations

import errno
import gc
import io
import os
import shutil
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

import rlm_local.prompt
from rlm_local.errors import ConfigError, PromptError
from rlm_local.paths import cache_folder, data_folder
from rlm_local.prompt import (
    Prompt,
    open_kept,
    open_prompt,
    prompt_from_text,
    prompt_from_texts,
)
from rlm_local.spool import files
from rlm_local.spool.sources import expand
from rlm_local.spool.store import Store
from rlm_local.spool.writer import SourceChangedError, SpoolWriter
from tests.spool.contract import check


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_bytes(b"one\r\ntwo\n")
    return path


def spools(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- what is read


def test_a_file(note: Path, spool: Path) -> None:
    with open_prompt([note], folder=spool) as prompt:
        assert check(prompt) == ["one\r\ntwo\n"]
        assert prompt.single
        assert (prompt.chars, prompt.bytes, prompt.mapped_bytes) == (9, 9, 65_536)
        assert prompt.documents[0].name == "note.txt"
        assert prompt.regions[0].path.read_bytes()[:9] == note.read_bytes()


def test_a_folder(tmp_path: Path, spool: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "b.txt").write_text("zwölf €")
    (docs / "sub" / "a.txt").write_text("elf")
    (docs / "empty.txt").touch()
    (docs / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (docs / "wide.txt").write_bytes("wide".encode("utf-16"))
    (docs / "broken").symlink_to("nowhere")
    for reused in (False, True):
        with open_prompt([docs], folder=spool) as prompt:
            assert prompt.reused == reused
            assert not prompt.single
            assert check(prompt) == ["zwölf €", "", "elf"]
            assert [d.name for d in prompt.documents] == ["b.txt", "empty.txt", "sub/a.txt"]
            assert prompt.skipped == ("broken", "picture.png", "wide.txt")


def test_a_large_binary_in_a_folder_leaves_nothing(tmp_path: Path, spool: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.bin").write_bytes(b"\0" * (5 << 20))
    (docs / "b.txt").write_bytes(b"b" * (5 << 20))
    with open_prompt([docs], folder=spool) as prompt:
        assert check(prompt) == ["b" * (5 << 20)]
        assert prompt.skipped == ("a.bin",)
        assert sorted(path.name for path in prompt.regions[0].path.parent.iterdir()) == [
            "lock",
            "manifest.json",
            "names",
            "table",
            "text-0",
        ]


def test_jsonl(tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text('"first"\n{"id": "b", "text": "zw\\u00f6lf"}\n\n{"content": ""}\n')
    with open_prompt([path], folder=spool) as prompt:
        assert check(prompt) == ["first", "zwölf", ""]
        assert [document.name for document in prompt.documents] == ["line 1", "b", "line 4"]
        assert not prompt.single


def test_standard_input(spool: Path) -> None:
    with open_prompt([Path("-")], stdin=io.BytesIO(b"piped \xe2\x82\xac"), folder=spool) as prompt:
        assert check(prompt) == ["piped €"]
        assert prompt.single
        assert prompt.documents[0].name == "stdin"
    assert spools(spool) == []  # it cannot be asked for again


def test_standard_input_is_the_process_s_own(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"mine")))
    with open_prompt([Path("-")], folder=spool) as prompt:
        assert check(prompt) == ["mine"]


def test_no_standard_input(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(PromptError, match="no standard input"):
        open_prompt([Path("-")], folder=spool)


def test_a_named_pipe_is_a_stream(tmp_path: Path, spool: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = "streamed €\n" * 50_000
    feeder = threading.Thread(target=lambda: pipe.write_text(text))
    feeder.start()
    with open_prompt([pipe], folder=spool) as prompt:
        assert check(prompt) == [text]
        assert prompt.documents[0].name == "pipe"
    feeder.join()


@pytest.mark.parametrize("name", ["note.txt", "note.jsonl"])
def test_a_file_that_has_become_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('"one"\n')
    (source,) = expand([path]).sources
    path.unlink()
    os.mkfifo(path)
    (tmp_path / "spool").mkdir()
    with (
        closing(SpoolWriter(tmp_path / "spool", single=True)) as writer,
        pytest.raises(SourceChangedError, match="changed while it was read"),
    ):
        writer.add(source)


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_stream_that_does_not_block_is_waited_for(spool: Path, buffering: int) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write() -> None:
        with open(writing, "wb", buffering=0) as file:
            for part in (b"one ", b"two ", b"three"):
                time.sleep(0.05)
                file.write(part)

    thread = threading.Thread(target=write)
    thread.start()
    with open(reading, "rb", buffering=buffering) as stdin:
        with open_prompt([Path("-")], stdin=stdin, folder=spool) as prompt:
            assert prompt.read(0) == "one two three"
        thread.join()


def test_all_sorts_together(note: Path, tmp_path: Path, spool: Path) -> None:
    lines = tmp_path / "docs.jsonl"
    lines.write_text('"a"\n"b"\n')
    sources = [note, lines, Path("-")]
    with open_prompt(sources, stdin=io.BytesIO(b"c"), folder=spool) as prompt:
        assert check(prompt) == ["one\r\ntwo\n", "a", "b", "c"]


def test_progress(tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "big.txt"
    path.write_bytes(b"x" * 2 * files.BLOCK_BYTES + "é€😀".encode() * files.BLOCK_BYTES)
    seen: list[tuple[int, int]] = []
    open_prompt([path], folder=spool, progress=lambda *now: seen.append(now)).close()
    size = path.stat().st_size
    assert seen[-1] == (size, size)
    assert {total for _, total in seen} == {size}
    assert seen == sorted(seen)
    assert len(seen) >= 4


# ----------------------------------------------------------- what can be asked


def test_texts_in_memory_have_names(spool: Path) -> None:
    with prompt_from_texts({"a.md": "1", "b.md": "ü"}, folder=spool) as prompt:
        assert check(prompt) == ["1", "ü"]
        assert [document.name for document in prompt.documents] == ["a.md", "b.md"]
        assert not prompt.single
    assert spools(spool) == []


def test_names_may_be_empty(spool: Path) -> None:
    for texts in ({"": "one"}, {"": "one", "b": "two"}):
        with prompt_from_texts(texts, folder=spool) as prompt:
            assert [document.name for document in prompt.documents] == list(texts)
            assert prompt.documents[0].name == ""
            assert check(prompt) == list(texts.values())


def test_documents_are_a_sequence(spool: Path) -> None:
    texts = [str(number) for number in range(3000)]
    with prompt_from_texts(texts, folder=spool) as prompt:
        documents = prompt.documents
        assert len(documents) == 3000
        assert [document.name for document in documents][2999] == "text 3000"
        assert documents[-1] == documents[2999] == list(documents)[-1]
        assert documents[10:20:5] == [documents[10], documents[15]]
        assert documents[2999].first_char == sum(map(len, texts[:2999]))
        with pytest.raises(IndexError, match="document 3000 of 3000"):
            documents[3000]


def test_reading_slices(spool: Path) -> None:
    text = "aé€😀" * 5
    with prompt_from_text(text, folder=spool) as prompt:
        for start, stop in [(0, 3), (5, None), (-3, None), (3, -3), (9, 2), (0, 99)]:
            assert prompt.read(0, start, stop) == text[start:stop]
        assert prompt.preview(5) == text[:5]
        assert prompt.preview(0) == prompt.preview(-1) == ""


def test_a_kept_prompt_is_the_same_and_no_store(tmp_path: Path, spool: Path) -> None:
    """Contexts of children would be left for ever in the folder of a run that is killed."""
    with prompt_from_texts(["a", "b"], folder=spool) as prompt:
        prompt.keep(tmp_path / "kept")
        identity = prompt.identity
    with open_kept(tmp_path / "kept") as kept:
        assert (kept.identity, kept.read(1), kept.spools) == (identity, "b", None)


def test_a_spool_that_somebody_removed_is_a_clear_error(spool: Path) -> None:
    with prompt_from_text("one", folder=spool) as prompt:
        shutil.rmtree(prompt.regions[0].path.parent)
        for use in (lambda: prompt.read(0), lambda: prompt.preview(1)):
            with pytest.raises(PromptError, match="cannot be read: No such file") as caught:
                use()
            assert "made again" in caught.value.hint


def test_a_kept_prompt_that_is_damaged_is_let_go_of(tmp_path: Path, spool: Path) -> None:
    with prompt_from_text("one", folder=spool) as prompt:
        prompt.keep(tmp_path / "kept")
    (tmp_path / "kept" / "manifest.json").unlink()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PromptError, match="gone or damaged"):
        open_kept(tmp_path / "kept")
    assert len(os.listdir("/proc/self/fd")) == before


def test_description_is_small(spool: Path, note: Path) -> None:
    with open_prompt([note], folder=spool) as prompt:
        assert prompt.describe() == {
            "sources": [str(note)],
            "single": True,
            "documents": 1,
            "names": ["note.txt"],
            "chars": 9,
            "bytes": 9,
            "kind": 1,
            "skipped": 0,
            "identity": prompt.identity,
        }
    with prompt_from_texts(["x"] * 1000, folder=spool) as prompt:
        names = prompt.describe()["names"]
        assert isinstance(names, list)
        assert len(names) == 10


def test_a_prompt_that_is_forgotten_is_closed(spool: Path) -> None:
    prompt = prompt_from_text("x", folder=spool)
    assert len(spools(spool)) == 1
    del prompt
    gc.collect()
    assert spools(spool) == []


def test_closing_twice(spool: Path, note: Path) -> None:
    prompt = open_prompt([note], folder=spool)
    assert not prompt.closed
    prompt.close()
    prompt.close()
    assert prompt.closed


# ----------------------------------------------------------------- found again


def opened(source: Path, spool: Path, **options: str) -> tuple[bool, list[str]]:
    with open_prompt([source], folder=spool, **options) as prompt:  # type: ignore[arg-type]
        return prompt.reused, check(prompt)


def test_an_unchanged_file_is_not_read_again(
    note: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened(note, spool) == (False, ["one\r\ntwo\n"])
    monkeypatch.chdir(note.parent)
    assert opened(note, spool) == (True, ["one\r\ntwo\n"])
    assert opened(Path("note.txt"), spool) == (True, ["one\r\ntwo\n"])


def test_a_changed_file_is_read_again(note: Path, spool: Path) -> None:
    opened(note, spool)
    note.write_bytes(b"ONE\r\nTWO\n")  # at once, and of the same size
    assert opened(note, spool) == (False, ["ONE\r\nTWO\n"])
    stamp = note.stat().st_mtime_ns
    note.write_bytes(b"longer than before\n")
    os.utime(note, ns=(stamp, stamp))
    assert opened(note, spool) == (False, ["longer than before\n"])
    other = note.with_suffix(".new")
    other.write_bytes(b"LONGER THAN BEFORE\n")
    os.utime(other, ns=(stamp, stamp))
    other.replace(note)  # same path, size and time: another inode
    assert opened(note, spool) == (False, ["LONGER THAN BEFORE\n"])


def test_a_file_is_left_to_settle(note: Path, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where times are coarse, a write right after the spooling would not show."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    for age, naps in [(0, [0.02]), (5_000_000, [0.015]), (20_000_000, []), (-(10**12), [])]:
        os.utime(note, ns=(now - age, now - age))
        slept.clear()
        opened(note, spool)
        assert slept == naps


def test_a_spool_is_of_what_was_asked(note: Path, spool: Path) -> None:
    opened(note, spool)
    assert opened(note, spool, bad_bytes="replace") == (False, ["one\r\ntwo\n"])
    twin = note.with_suffix(".md")
    twin.hardlink_to(note)
    assert opened(twin, spool) == (False, ["one\r\ntwo\n"])


def test_a_folder_with_a_new_file_is_read_again(note: Path, spool: Path) -> None:
    docs = note.parent / "docs"
    docs.mkdir()
    (docs / "a").write_text("a")
    assert opened(docs, spool) == (False, ["a"])
    assert opened(docs, spool) == (True, ["a"])
    (docs / "b").write_text("b")
    assert opened(docs, spool) == (False, ["a", "b"])


@pytest.mark.parametrize("damage", ["text-0", "manifest.json", "table/data.ninja", "names"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_damaged_spool_is_made_anew(note: Path, spool: Path, damage: str, how: str) -> None:
    opened(note, spool)
    (key,) = spools(spool)
    target = spool / key / damage
    if target.is_dir():
        target = target / "data.ninja"
    if how == "gone":
        target.unlink()
    else:
        os.truncate(target, target.stat().st_size // 2)
    assert opened(note, spool) == (False, ["one\r\ntwo\n"])
    assert opened(note, spool) == (True, ["one\r\ntwo\n"])


def test_a_spool_in_use_stays_though_another_cannot_read_it(
    note: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, say: the spool is as whole as it was."""

    def fails(folder: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with open_prompt([note], folder=spool) as prompt:
        with monkeypatch.context() as patch:
            patch.setattr(rlm_local.prompt, "Documents", fails)
            with pytest.raises(OSError, match="Too many open files"):
                open_prompt([note], folder=spool)
        Store(spool).evict(0)
        assert prompt.read(0) == "one\r\ntwo\n"
    assert opened(note, spool) == (True, ["one\r\ntwo\n"])


def test_a_prompt_outlives_the_change_of_its_source(note: Path, spool: Path) -> None:
    """A mapped file that shrinks kills the process; the spool is not the user's file."""
    note.write_bytes(b"x" * 200_000)
    with open_prompt([note], folder=spool) as prompt:
        os.truncate(note, 0)
        assert check(prompt) == ["x" * 200_000]


# ------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the prompt is empty: there is no text in .*/bad.txt$"),
        (b"\xef\xbb\xbf", "the prompt is empty"),
        (b"abc\xffdef", r"bad.txt is not valid UTF-8: byte 0xff at offset 3 \(invalid start byte"),
        (b"abc\xe2\x82", r"byte 0xe2 at offset 3 \(unexpected end of data"),
        (b"\x7fELF\x02\x01\x01\0", "bad.txt is a binary file: it has a NUL byte at offset 7"),
        ("héllo".encode("utf-16"), "bad.txt is UTF-16, and only UTF-8 is read"),
    ],
)
def test_bad_content(tmp_path: Path, spool: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(PromptError, match=message):
        open_prompt([path], folder=spool)
    assert spools(spool) == []


def test_an_offset_beyond_the_first_block(tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"x" * (files.BLOCK_BYTES - 1) + b"\xe2\x82x" + b"x" * 100)
    with pytest.raises(PromptError, match=f"at offset {files.BLOCK_BYTES - 1:,} "):
        open_prompt([path], folder=spool)


def test_bad_bytes_are_replaced_when_asked(tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"abc\xffdef\xe2\x82")
    assert opened(path, spool, bad_bytes="replace") == (False, ["abc\ufffddef\ufffd"])


def test_bad_bytes_in_a_folder_are_an_error(tmp_path: Path, spool: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "latin.txt").write_bytes(b"caf\xe9 noir")
    with pytest.raises(PromptError, match=r"docs/latin\.txt is not valid UTF-8.* offset 3 ") as it:
        open_prompt([docs], folder=spool)
    assert "--replace-bad-bytes" in it.value.hint


def test_a_folder_of_pictures_is_empty(tmp_path: Path, spool: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.png").write_bytes(b"\x89PNG\0")
    with pytest.raises(
        PromptError, match=r"is no text in .*/docs \(1 file that is no text was skip"
    ) as caught:
        open_prompt([docs], folder=spool)
    assert "by itself" in caught.value.hint


def test_texts_that_are_empty(spool: Path) -> None:
    for empty in ([], {}, ["", ""]):
        with pytest.raises(PromptError, match="the prompt is empty"):
            prompt_from_texts(empty, folder=spool)
    with pytest.raises(PromptError, match="the prompt is empty"):
        prompt_from_text("", folder=spool)
    assert spools(spool) == []


def test_a_file_that_may_not_be_read(
    note: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:  # root may read everything
        monkeypatch.setattr("rlm_local.spool.sources.open", refuse, raising=False)
    note.chmod(0)
    with pytest.raises(PromptError, match=r"note\.txt may not be read: permission denied"):
        open_prompt([note], folder=spool)


def refuse(path: str, *arguments: object, **options: object) -> None:
    raise PermissionError(13, "Permission denied", path)


# ------------------------------------------------------------------- the cache


def test_folders_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))
    (tmp_path / "cache" / "spool").mkdir(parents=True, mode=0o755)
    for folder in (cache_folder("spool"), data_folder("runs")):
        assert folder.stat().st_mode & 0o777 == 0o700
    prompt: Prompt = prompt_from_text("x")
    assert prompt.regions[0].path.is_relative_to(tmp_path / "cache" / "spool")
    assert prompt.regions[0].path.stat().st_mode & 0o077 == 0
    prompt.close()


def test_a_folder_of_someone_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(ConfigError, match="spool belongs to another user") as caught:
        cache_folder("spool")
    assert "RLM_LOCAL_CACHE" in caught.value.hint


def test_a_folder_of_the_caller_s_choice_stays_as_it_is(tmp_path: Path, note: Path) -> None:
    """It may hold anything else, and be open to others; what is put there is not."""
    folder = tmp_path / "shared"
    (folder / "mine").mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "lock").touch()
    with open_prompt([note], folder=folder) as prompt:
        assert prompt.regions[0].path.parent.stat().st_mode & 0o777 == 0o700
    Store(folder).evict(0)
    assert spools(folder) == ["lock", "mine"]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_cannot_be_made(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_LOCAL_DATA", str(note))
    with pytest.raises(ConfigError, match=r"note\.txt/runs cannot be used: Not a dir") as caught:
        data_folder("runs")
    assert "RLM_LOCAL_DATA" in caught.value.hint
