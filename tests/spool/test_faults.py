"""Everything that can fail while a prompt is spooled, failing."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlm_local.errors import PromptError
from rlm_local.prompt import open_prompt, prompt_from_texts
from rlm_local.spool import files
from rlm_local.spool.files import DiskFullError
from rlm_local.spool.writer import SourceChangedError
from tests.spool.contract import check

#: The calls by which the spool takes space on a disk.
TAKING_SPACE = ["open", "mkdir", "pwrite", "copy_file_range", "ftruncate", "rename"]


FULL = r"the disk is full: [\d,]+ bytes are free in .*/spool, and the prompt takes \d+ or more"


class Disk:
    """Stands before calls of `os`, counts those that take space, and fails from the nth on."""

    def __init__(self, patch: pytest.MonkeyPatch, code: int = errno.ENOSPC) -> None:
        self.calls = 0
        self.fail_at = 0  # never
        self.full = True  # it stays full, until space is made
        self._code = code
        for name in TAKING_SPACE:
            patch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            if name == "open" and not int(str(arguments[1])) & os.O_CREAT:
                return call(*arguments, **options)
            self.calls += 1
            if self.fail_at and self.calls >= self.fail_at and self.full:
                raise OSError(self._code, os.strerror(self._code))
            return call(*arguments, **options)

        return wrapped


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK_BYTES", 64)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder of texts that take every way through the writer."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "ascii.txt").write_text("abc\n" * 50)
    (folder / "wide.txt").write_text("aé€😀\n" * 30)
    return folder


@contextmanager
def no_leaks(spool: Path) -> Iterator[None]:
    """Checks that nothing stays open, and nothing stays in the spool."""
    gc.collect()  # what earlier tests left open is not closed in between
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before
    assert list(spool.iterdir()) == []


def sources(docs: Path, shape: str) -> list[Path]:
    if shape == "lines":
        path = docs.parent / "docs.jsonl"
        path.write_text('"first"\n"€"\n')
        return [path]
    return {"folder": [docs], "ascii": [docs / "ascii.txt"], "wide": [docs / "wide.txt"]}[shape]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("shape", ["folder", "ascii", "wide", "lines"])
def test_a_disk_that_is_full_at_any_moment(
    docs: Path, tmp_path: Path, shape: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    paths = sources(docs, shape)
    with open_prompt(paths, folder=spool) as prompt:
        expected = check(prompt)
    with prompt_from_texts(["x"], folder=spool):
        pass
    for moment in range(1, 1000):
        for left in spool.iterdir():
            for path in sorted(left.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            left.rmdir()
        with monkeypatch.context() as patch:
            disk = Disk(patch, code)
            disk.fail_at = moment
            try:
                with no_leaks(spool), pytest.raises(DiskFullError, match=FULL) as it:
                    open_prompt(paths, folder=spool).close()
            except pytest.fail.Exception:  # it came to its end before that moment
                break
            assert "RLM_LOCAL_CACHE" in it.value.hint
    else:
        pytest.fail("it never came to its end")
    assert moment > 15
    with open_prompt(paths, folder=spool) as prompt:
        assert check(prompt) == expected


def test_space_is_made_by_what_is_not_in_use(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    open_prompt([docs / "ascii.txt"], folder=spool).close()
    disk = Disk(monkeypatch)
    disk.fail_at = 9
    evict = files.os.unlink

    def unlink(*arguments: object, **options: object) -> None:
        disk.full = False
        evict(*arguments, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    with open_prompt([docs], folder=spool) as prompt:
        assert len(check(prompt)) == 2
        assert [path for path in spool.iterdir() if path != prompt.regions[0].path.parent] == []


def test_texts_in_memory_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    Disk(monkeypatch).fail_at = 5
    with no_leaks(spool), pytest.raises(DiskFullError, match=r"the disk is full: .*/spool$"):
        prompt_from_texts(["a", "b"], folder=spool)


def test_another_fault_of_the_disk_is_told(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    Disk(monkeypatch, errno.EROFS).fail_at = 1
    with no_leaks(spool), pytest.raises(PromptError, match="cannot be written: Read-only file"):
        open_prompt([docs], folder=spool)


def test_a_source_that_cannot_be_read_to_its_end(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()

    class Broken:
        def read(self, size: int) -> bytes:
            if not self.given:
                self.given = True
                return b"fine so far"
            raise OSError(errno.EIO, "Input/output error")

        given = False

    with no_leaks(spool), pytest.raises(PromptError, match="standard input cannot be read: Input"):
        open_prompt([Path("-")], stdin=Broken(), folder=spool)  # type: ignore[arg-type]


# --------------------------------------------------------- sources that change


def test_a_source_that_changes_once_is_read_again(docs: Path, tmp_path: Path) -> None:
    path = docs / "ascii.txt"
    changes = [b"new text\n"]

    def change(done: int, total: int) -> None:
        if changes:
            path.write_bytes(changes.pop())

    with open_prompt([path], folder=tmp_path / "spool", progress=change) as prompt:
        assert check(prompt) == ["new text\n"]


@pytest.mark.parametrize("shape", ["folder", "ascii", "wide", "lines"])
@pytest.mark.parametrize("how", ["grows", "shrinks", "is written"])
def test_a_source_that_keeps_changing_is_refused(
    docs: Path, tmp_path: Path, shape: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    paths = sources(docs, shape)
    path = docs / "wide.txt" if shape == "folder" else paths[0]
    fstat = os.fstat
    size = path.stat().st_size

    def change(file: int) -> os.stat_result:
        """Between the reading of a file and the look at what it is now."""
        if os.path.samestat(fstat(file), path.stat()):
            now = path.stat().st_size
            if how == "is written":
                os.utime(path)
            elif how == "shrinks":
                os.truncate(path, max(size // 2, now - 1))
            else:
                with path.open("ab") as more:
                    more.write(b"\n")
        return fstat(file)

    monkeypatch.setattr(os, "fstat", change)
    with no_leaks(spool), pytest.raises(SourceChangedError, match="changed while it was read"):
        open_prompt(paths, folder=spool)


def test_a_source_that_is_cut_in_the_middle_of_a_copy(docs: Path, tmp_path: Path) -> None:
    path = docs / "ascii.txt"

    def shrink(done: int, total: int) -> None:
        os.truncate(path, path.stat().st_size - 10)

    with pytest.raises(SourceChangedError, match="changed while it was read"):
        open_prompt([path], folder=tmp_path / "spool", progress=shrink)


def test_a_change_is_the_reason_for_bad_content(tmp_path: Path) -> None:
    """A file that was rewritten while it was read is half one thing, half another."""
    path = tmp_path / "docs.jsonl"
    path.write_text('"first"\n{"text": ')
    texts = ['"first"\n"and a second"\n']

    def rewrite(done: int, total: int) -> None:
        if texts:
            path.write_text(texts.pop())

    with open_prompt([path], folder=tmp_path / "spool", progress=rewrite) as prompt:
        assert check(prompt) == ["first", "and a second"]


# ------------------------------------------------------------- being interrupted


@pytest.mark.parametrize("shape", ["folder", "ascii", "wide", "lines"])
def test_an_interrupt_leaves_nothing(docs: Path, tmp_path: Path, shape: str) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with no_leaks(spool), pytest.raises(KeyboardInterrupt):
        open_prompt(sources(docs, shape), folder=spool, progress=interrupt)


# --------------------------------------------------------------- ways of copying


def no_range(source: int, target: int, count: int, *, offset_dst: int) -> int:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


class RangeThatGivesUp:
    """A copy_file_range that copies little at a time, and after some calls no more."""

    def __init__(self, calls: int, last: int | None) -> None:
        self.calls = calls
        self.last = last

    def __call__(self, source: int, target: int, count: int, *, offset_dst: int) -> int:
        if self.calls == 0:
            if self.last is None:
                raise OSError(errno.EIO, "Input/output error")
            return self.last
        self.calls -= 1
        return COPY_RANGE(source, target, min(count, 7), offset_dst=offset_dst)


COPY_RANGE = os.copy_file_range


@pytest.mark.parametrize(
    "way",
    [no_range, None, RangeThatGivesUp(0, 0), RangeThatGivesUp(3, 0), RangeThatGivesUp(3, None)],
)
def test_every_way_of_copying(
    docs: Path, tmp_path: Path, way: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way is None:
        monkeypatch.delattr(os, "copy_file_range")
    else:
        monkeypatch.setattr(os, "copy_file_range", way)
    for name in ("ascii.txt", "wide.txt"):
        with open_prompt([docs / name], folder=tmp_path / "spool") as prompt:
            assert check(prompt) == [(docs / name).read_text()]


def test_a_reflink_is_checked_too(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without reflinks, one that copies takes its place."""

    def clone(target: int, request: int, source: int) -> int:
        assert request == 0x40049409
        os.write(target, os.pread(source, 1 << 20, 0))
        return 0

    monkeypatch.setattr(files.fcntl, "ioctl", clone)
    monkeypatch.delattr(os, "copy_file_range")
    for name in ("ascii.txt", "wide.txt"):
        with open_prompt([docs / name], folder=tmp_path / "spool") as prompt:
            assert check(prompt) == [(docs / name).read_text()]
    (docs / "bad.txt").write_bytes(b"abc\xff")
    with pytest.raises(PromptError, match="offset 3 "):
        open_prompt([docs / "bad.txt"], folder=tmp_path / "spool")
