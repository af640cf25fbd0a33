"""The prompt is mapped, not copied, and nothing that a guest does reaches its file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rlm_local.errors import AddressSpaceError, SandboxError
from rlm_local.prompt import Document, Region
from rlm_local.wasm.pages import PageMap
from tests.wasm.conftest import Fork
from tests.wasm.prompts import FilePrompt, TextPrompt

MIB = 1 << 20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def resident_bytes() -> tuple[int, int]:
    """This process's resident memory: all of it, and what is no file's."""
    with open("/proc/self/statm") as file:
        _, resident, of_files, *_ = map(int, file.read().split())
    page = os.sysconf("SC_PAGE_SIZE")
    return resident * page, (resident - of_files) * page


def sparse(path: Path, size: int, *marks: tuple[int, bytes]) -> Path:
    """A file of `size` zero bytes but for the marks; it takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(size)
        for place, data in marks:
            file.seek(place)
            file.write(data)
    return path


def growth(fork: Fork, prompt: object) -> tuple[int, int]:
    """What a fork over `prompt` adds to the resident memory."""
    before = resident_bytes()
    fork(prompt=prompt)
    after = resident_bytes()
    return after[0] - before[0], after[1] - before[1]


@linux_only
@pytest.mark.parametrize("size", [40 * MIB, 1024 * MIB])
def test_a_context_takes_no_memory_of_its_own(fork: Fork, tmp_path: Path, size: int) -> None:
    fork("warm").value("len(context)")
    small = FilePrompt(sparse(tmp_path / "small", 1000), 1000)
    path = sparse(tmp_path / "text", size, (size - 6, b"needle"))
    fork_alone, _ = growth(fork, small)
    whole, of_its_own = growth(fork, FilePrompt(path, size))
    assert whole - fork_alone < 1 * MIB
    assert of_its_own < 2 * MIB
    guest = fork(prompt=FilePrompt(path, size))
    assert guest.value("len(context), context[-6:]") == f"({size}, 'needle')"


def test_what_a_guest_writes_over_its_context_stays_its_own(fork: Fork, tmp_path: Path) -> None:
    text = "untouched " * 400 + "x" * 11 + "\0" + "untouched " * 600
    prompt = TextPrompt(tmp_path / "spool", [text])
    on_disk = prompt.regions[0].path.read_bytes()
    writer, reader = fork(prompt=prompt), fork(prompt=prompt)
    # The header of a text in the middle of the context overwrites what is before it.
    writer.run("import _rlm; _rlm.text(id(context) + 20 + 4000, 11, 1, True)")
    assert writer.value("context.count('untouched')") in {"997", "998"}
    assert reader.value("context.count('untouched')") == "1000"
    assert prompt.regions[0].path.read_bytes() == on_disk
    assert fork(prompt=prompt).value("context.count('untouched')") == "1000"


def test_the_spool_may_go_while_it_is_mapped(fork: Fork, tmp_path: Path) -> None:
    prompt = TextPrompt(tmp_path / "spool", ["still there"])
    guest = fork(prompt=prompt)
    prompt.regions[0].path.unlink()
    assert guest.value("context") == "'still there'"


def test_a_spool_file_that_is_missing_or_short_is_refused(fork: Fork, tmp_path: Path) -> None:
    prompt = TextPrompt(tmp_path / "spool", ["some text"])
    path = prompt.regions[0].path
    path.write_bytes(b"some")
    with pytest.raises(SandboxError, match="has 4 bytes and should have 9"):
        fork(prompt=prompt)
    path.unlink()
    with pytest.raises(SandboxError, match="cannot be opened"):
        fork(prompt=prompt)


class Large:
    """Two strs of 1.5 GB each, or whatever is asked for."""

    single = False
    identity = "large"

    def __init__(self, folder: Path, *sizes: int) -> None:
        self.regions = [
            Region(sparse(folder / f"{n}", size, (size - 4, b"end" + b"%d" % n)), 0, size)
            for n, size in enumerate(sizes)
        ]
        self.documents = [Document(f"{n}", n, 0, size, 1, True) for n, size in enumerate(sizes)]


def test_a_text_beyond_the_address_space_is_refused(fork: Fork, tmp_path: Path) -> None:
    prompt = Large(tmp_path, (4 << 30) - 1)
    prompt.single = True
    with pytest.raises(AddressSpaceError, match="fit the guest's 4 GiB") as caught:
        fork(prompt=prompt)
    assert caught.value.exit_code == 5


@pytest.mark.slow
def test_three_gigabytes_as_two_strs(fork: Fork, tmp_path: Path) -> None:
    guest = fork(prompt=Large(tmp_path, 1500 * MIB, 1500 * MIB))
    assert guest.value("[len(text) for text in context]") == f"[{1500 * MIB}, {1500 * MIB}]"
    assert guest.value("[text[-4:] for text in context]") == "['end0', 'end1']"
    assert guest.value("context[1].find('end1')") == str(1500 * MIB - 4)


@pytest.mark.slow
def test_the_largest_str_there_is(fork: Fork, tmp_path: Path) -> None:
    size = (1 << 31) - 1 - 64
    guest = fork(prompt=FilePrompt(sparse(tmp_path / "text", size, (size - 3, b"end")), size))
    assert guest.value("len(context), context[-3:], context.rfind('end')") == (
        f"({size}, 'end', {size - 3})"
    )


@linux_only
def test_a_fork_that_ran_a_cell_has_few_pages_of_its_own(fork: Fork) -> None:
    guest = fork("text")
    guest.run("x = len(context)")
    instance = guest.repl._instance
    assert instance is not None
    pages = PageMap()
    written = pages.written(instance.memory.base, instance.memory.size)
    pages.close()
    assert 0 < len(written) < 175  # 148 when last counted; 198 without immortal code objects
