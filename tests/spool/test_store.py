"""The spool's folders: kept, locked, evicted, and cleaned up after a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rlm_local.errors import PromptError
from rlm_local.spool import store as module
from rlm_local.spool.store import Lease, Store

MIB = 1 << 20
A, B, C, D = (letter * 32 for letter in "abcd")  # keys


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, limit_bytes=5 * MIB // 2)


def make(store: Store, key: str, size: int = MIB, *, used: int | None = None) -> None:
    """A finished spool of `size` bytes that is not in use."""
    with store.draft() as draft:
        (draft.folder / "text-0").write_bytes(bytes(size))
        store.keep(draft, key)
        if used is not None:
            os.utime(draft.folder / "lock", ns=(used, used))


def keys(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def find(store: Store, key: str) -> Lease:
    lease = store.find(key)
    assert lease is not None
    return lease


def test_a_draft_goes_with_its_user(store: Store, tmp_path: Path) -> None:
    draft = store.draft()
    assert draft.folder.stat().st_mode & 0o777 == 0o700
    draft.close()
    draft.close()
    assert keys(tmp_path) == []


def test_a_kept_draft_is_found(store: Store, tmp_path: Path) -> None:
    assert store.find(A) is None
    make(store, A)
    with find(store, A) as lease:
        assert (lease.folder / "text-0").stat().st_size == MIB
    assert keys(tmp_path) == [A]


def test_the_second_of_two_equal_spools_is_temporary(store: Store, tmp_path: Path) -> None:
    first, second = store.draft(), store.draft()
    store.keep(first, A)
    store.keep(second, A)
    assert first.folder == tmp_path / A
    assert second.folder.is_dir()
    second.close()
    first.close()
    assert keys(tmp_path) == [A]


def test_the_least_recently_used_go_first(store: Store, tmp_path: Path) -> None:
    for age, key in enumerate([A, B, C, D]):
        make(store, key, used=10**18 - age)
    assert store.evict() >= MIB
    assert keys(tmp_path) == [A, B]


def test_use_makes_a_spool_recent(store: Store, tmp_path: Path) -> None:
    for age, key in enumerate([A, B, C, D]):
        make(store, key, used=10**18 - age)
    find(store, D).close()
    store.evict()
    assert keys(tmp_path) == [A, D]


def test_a_spool_in_use_is_not_evicted(store: Store, tmp_path: Path) -> None:
    make(store, A)
    make(store, B)
    with find(store, A):
        store.evict(0)
        assert keys(tmp_path) == [A]
    store.evict(0)
    assert keys(tmp_path) == []


def test_a_spool_used_twice_is_in_use_until_both_are_done(store: Store, tmp_path: Path) -> None:
    make(store, A)
    first, second = find(store, A), find(store, A)
    first.close()
    store.evict(0)
    assert keys(tmp_path) == [A]
    second.close()
    assert store.evict(0) >= MIB


def test_their_number_is_bounded(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STORE_SPOOLS", 2)
    for age, key in enumerate([A, B, C]):
        make(store, key, 0, used=10**18 - age)
    store.evict()
    assert keys(tmp_path) == [A, B]


def test_a_draft_in_use_is_not_evicted(store: Store) -> None:
    with store.draft() as draft:
        store.evict(0)
        assert draft.folder.is_dir()


def test_what_a_crash_left_is_removed(store: Store, tmp_path: Path) -> None:
    crash = (
        "import os, pathlib, sys; from rlm_local.spool.store import Store\n"
        "draft = Store(pathlib.Path(sys.argv[1])).draft()\n"
        "(draft.folder / 'raw').write_bytes(bytes(5000))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", crash, str(tmp_path)], check=False)
    assert done.returncode == -9
    (tmp_path / "draft-without-lock").mkdir()  # it died even earlier
    (tmp_path / "doomed-half-removed").mkdir()  # it died while it cleaned up
    (tmp_path / "doomed-half-removed" / "pack").write_bytes(b"x")
    assert len(keys(tmp_path)) == 3
    assert store.evict() >= 5000
    assert keys(tmp_path) == []


def test_a_draft_that_is_cleaned_away_as_it_is_made_is_made_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = module._lock
    interrupted = []

    def evict_first(folder: Path, operation: int) -> int | None:
        if not interrupted:
            interrupted.append(folder)
            Store(tmp_path).evict()  # its lock is still free: it looks like a leftover
            assert not folder.exists()
        return lock(folder, operation)

    monkeypatch.setattr(module, "_lock", evict_first)
    with store.draft() as draft:
        assert draft.folder.is_dir()
        assert draft.folder not in interrupted


def test_a_spool_is_evicted_again_while_it_is_still_being_removed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by another process, which is in the middle of a large folder."""
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "rmtree", lambda *_, **__: None)
        for _ in range(2):
            make(store, A)
            store.evict(0)
            assert A not in keys(tmp_path)
    store.evict(0)
    assert keys(tmp_path) == []


def test_a_spool_made_anew_while_it_is_found(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock that was opened is of the spool that was evicted, not of the new one."""
    make(store, A)
    flock = module.fcntl.flock

    def replace_first(lock: int, operation: int) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(module.fcntl, "flock", flock)
            store.evict(0)
            make(store, A)
        flock(lock, operation)

    with monkeypatch.context() as patch:
        patch.setattr(module.fcntl, "flock", replace_first)
        assert store.find(A) is None
    find(store, A).close()


def test_a_process_started_meanwhile_does_not_keep_the_lock(store: Store) -> None:
    make(store, A)
    lease = find(store, A)
    with subprocess.Popen(["sleep", "30"], pass_fds=[lease._lock]) as child:
        lease.close()
        assert store.evict(0) >= MIB
        child.kill()


def test_a_fork_leaves_its_parent_s_lease_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = store.draft()
    copy = Lease(draft.folder, os.dup(draft._lock), temporary=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        copy.close()
    store.evict(0)
    assert draft.folder.is_dir()
    draft.close()
    assert not draft.folder.exists()


def test_a_file_system_without_locks(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lock: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", refuse)
    with pytest.raises(PromptError, match="cannot be locked: No locks available") as caught:
        store.draft()
    assert "RLM_LOCAL_CACHE" in caught.value.hint


def test_many_at_once(store: Store, tmp_path: Path) -> None:
    """Threads make, use and evict the same few spools; what is in use is always whole."""
    failures: list[str] = []

    def work(seed: int) -> None:
        for turn in range(30):
            key = [A, B, C][(seed + turn) % 3]
            lease = store.find(key)
            if lease is None:
                lease = store.draft()
                (lease.folder / "text-0").write_bytes(bytes(MIB))
                store.keep(lease, key)
            store.evict(MIB)
            if (lease.folder / "text-0").stat().st_size != MIB:
                failures.append(key)
            lease.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store.evict(0)
    assert keys(tmp_path) == []
