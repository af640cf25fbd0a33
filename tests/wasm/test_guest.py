"""Finding the guest, its compiled form, and the snapshot: caches that are trusted or refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
import wasmtime

from rlm_local.errors import GuestMissing, SandboxError
from rlm_local.wasm import WasmSandbox, guest, snapshot
from rlm_local.wasm.instance import Host
from rlm_local.wasm.thread import GuestThread

EMPTY = wasmtime.wat2wasm("(module)")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(guest.VARIABLE, raising=False)
    return tmp_path / "cache"


def test_a_named_guest_is_taken(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "my.wasm"
    named.write_bytes(EMPTY)
    monkeypatch.setenv(guest.VARIABLE, str(named))
    assert guest.find() == named
    named.unlink()
    with pytest.raises(GuestMissing, match=r"names .*my.wasm, and there is no such file"):
        guest.find()


def test_the_guest_that_was_built_last_is_taken(cache: Path) -> None:
    if (resources.files("rlm_local") / "_guest" / guest.NAME).is_file():
        pytest.skip("this package carries a guest, which comes first")
    with pytest.raises(GuestMissing, match="is not built"):
        guest.find()
    for key in ("aaa", "bbb"):
        (cache / "guest" / key).mkdir(parents=True)
        (cache / "guest" / key / guest.NAME).write_bytes(EMPTY)
    (cache / "guest" / "current").write_text("bbb\n")
    assert guest.find() == cache / "guest" / "bbb" / guest.NAME


@pytest.mark.parametrize("data", [b"", b"not wasm", EMPTY[:5], os.urandom(1000)])
def test_a_file_that_is_no_module_is_refused(cache: Path, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.wasm"
    path.write_bytes(data)
    with pytest.raises(SandboxError, match="is not a usable guest") as caught:
        guest.load(path)
    assert "make clean demo" in caught.value.hint


def test_a_missing_file_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(GuestMissing, match="cannot be read"):
        guest.load(tmp_path / "none.wasm")


@pytest.mark.parametrize(
    "wat",
    [
        '(module (import "wasi_snapshot_preview1" "fd_write" (func)))',
        '(module (import "env" "system" (func (param i32) (result i32))))',
        '(module (import "rlm" "memory" (memory 1)))',
    ],
)
def test_a_module_that_wants_more_is_refused(cache: Path, tmp_path: Path, wat: str) -> None:
    path = tmp_path / "greedy.wasm"
    path.write_bytes(wasmtime.wat2wasm(wat))
    with pytest.raises(SandboxError, match="which this version does not have"):
        Host(guest.load(path))


def test_compiling_happens_once(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "guest.wasm"
    path.write_bytes(EMPTY)
    told: list[str] = []
    guest.load(path, notice=told.append)
    guest.load(path, notice=told.append)
    assert len(told) == 1
    (kept,) = (cache / "compiled").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (cache / "compiled").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2]])
def test_a_damaged_compiled_module_is_made_again(
    cache: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "guest.wasm"
    path.write_bytes(EMPTY)
    guest.load(path)
    (kept,) = (cache / "compiled").iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    told: list[str] = []
    guest.load(path, notice=told.append)
    assert len(told) == 1


def test_a_compiled_module_that_others_can_write_is_refused(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "guest.wasm"
    path.write_bytes(EMPTY)
    guest.load(path)
    (kept,) = (cache / "compiled").iterdir()
    kept.chmod(0o666)
    with pytest.raises(SandboxError, match="is not trusted"):
        guest.load(path)


def test_compiled_modules_of_old_guests_are_forgotten(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "guest.wasm"
    for number in range(7):
        path.write_bytes(wasmtime.wat2wasm(f'(module (func (export "f{number}")))'))
        guest.load(path)
    assert len(list((cache / "compiled").iterdir())) == 4
    told: list[str] = []
    guest.load(path, notice=told.append)
    assert not told


def test_two_processes_may_forget_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        (tmp_path / f"{number}.cwasm").touch()
        os.utime(tmp_path / f"{number}.cwasm", (number, number))
    lstat = Path.lstat

    def gone(path: Path) -> os.stat_result:
        if path.name == "3.cwasm":
            path.unlink(missing_ok=True)
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", gone)
    guest.forget_old(tmp_path, "*.cwasm")
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["4", "5", "6", "7"]


def test_a_link_in_place_of_a_compiled_module_is_refused(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "guest.wasm"
    path.write_bytes(EMPTY)
    guest.load(path)
    (kept,) = (cache / "compiled").iterdir()
    kept.rename(tmp_path / "elsewhere")
    kept.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SandboxError, match="is not trusted"):
        guest.load(path)


@pytest.fixture(scope="module")
def host(guest_path: Path) -> Host:
    return Host(guest.load(guest_path))


@pytest.fixture
def made(host: Host, tmp_path: Path) -> Path:
    path = tmp_path / "snapshot"
    GuestThread().call(lambda: snapshot.make(host, path))
    return path


def test_snapshots_are_the_same_each_time(host: Host, made: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    GuestThread().call(lambda: snapshot.make(host, again))
    assert again.read_bytes() == made.read_bytes()


def test_a_snapshot_is_sparse(made: Path) -> None:
    assert made.stat().st_blocks * 512 < made.stat().st_size


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"x" + data[1:],
        lambda data: data.replace(b'"format":', b'"format":9', 1),
        lambda data: data.replace(b'"guest":"', b'"guest":"x', 1)[:-1],
    ],
)
def test_a_damaged_snapshot_is_refused(
    host: Host, made: Path, damage: Callable[[bytes], bytes]
) -> None:
    snapshot.Snapshot(made, host.guest.digest).close()
    made.write_bytes(damage(made.read_bytes()))
    with pytest.raises(SandboxError):
        snapshot.Snapshot(made, host.guest.digest)


def test_a_damaged_snapshot_in_the_cache_is_made_again(guest_path: Path, host: Host) -> None:
    kept = snapshot.path_for(host.guest.digest)
    with WasmSandbox(guest_path) as sandbox:
        sandbox.prepare()
    whole = kept.read_bytes()
    fresh = kept.with_name("damaged")
    fresh.write_bytes(whole[:100_000])
    fresh.chmod(0o600)
    fresh.replace(kept)
    with WasmSandbox(guest_path) as sandbox:
        sandbox.prepare()
    assert kept.read_bytes() == whole


def test_a_snapshot_that_others_can_write_is_refused(host: Host, made: Path) -> None:
    made.chmod(0o622)
    with pytest.raises(SandboxError, match="is not trusted"):
        snapshot.Snapshot(made, host.guest.digest)


def test_a_closed_sandbox_says_so(guest_path: Path) -> None:
    sandbox = WasmSandbox(guest_path)
    sandbox.close()
    sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        sandbox.prepare()
