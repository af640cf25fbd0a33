"""Replies that are kept for other runs."""

from __future__ import annotations

import math
import os
import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from rlm_local.limits import MIB
from rlm_local.memo import MemoModel
from rlm_local.model import ScriptedModel
from rlm_local.records import Completion, Message, Request
from rlm_local.replies import FILE, ReplyStore
from rlm_local.runtime import Runtime
from tests.fakes import cell


def reply(text: str) -> Completion:
    return Completion(
        text=text,
        finish="stop",
        prompt_tokens=5,
        cached_tokens=1,
        completion_tokens=3,
        seconds=0.5,
    )


def key(number: int) -> bytes:
    return number.to_bytes(16)


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notices: list[str]) -> ReplyStore:
    return ReplyStore(tmp_path, notice=notices.append)


# ------------------------------------------------------------------------ the store


def test_what_is_kept_is_there_for_the_next(tmp_path: Path, store: ReplyStore) -> None:
    replies = {
        key(n): reply(f"reply {n} é\ud800".encode("utf-8", "replace").decode()) for n in range(3)
    }
    store.put(replies)
    wanted = [key(n) for n in (2, 0, 7, 2)]
    expected = {key(n): replies[key(n)] for n in (2, 0)}
    assert store.get(wanted) == expected
    store.close()
    store.close()
    assert ReplyStore(tmp_path).get(wanted) == expected
    assert store.get(wanted) == {}
    store.put(replies)


def test_many_at_once(store: ReplyStore) -> None:
    store.put({key(n): reply(str(n)) for n in range(3_000)})
    found = store.get(key(n) for n in range(0, 6_000, 2))
    assert len(found) == 1_500
    assert found[key(2_998)].text == "2998"
    store.put({})
    assert store.get([]) == {}


def test_those_used_longest_ago_make_room(tmp_path: Path) -> None:
    most = 2 * MIB
    store = ReplyStore(tmp_path, most_bytes=most)
    for number in range(400):
        store.put({key(number): reply(f"{number:10000}")})
        assert key(0) in store.get([key(0)])  # is of use all the time
    kept = [number for number in range(400) if store.get([key(number)])]
    assert kept[0] == 0
    assert kept[1:] == list(range(kept[1], 400))
    assert len(kept) > 100
    store.close()
    assert (tmp_path / FILE).stat().st_size < most + 256 * 1024


def test_from_many_threads(store: ReplyStore, notices: list[str]) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 50):
            store.put({key(number): reply(str(number))})
            assert store.get([key(number)])[key(number)].text == str(number)

    threads = [threading.Thread(target=work, args=[100 * n]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.get(key(n) for n in range(800))) == 400
    assert notices == []


def test_from_many_processes(tmp_path: Path, notices: list[str]) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom rlm_local.replies import ReplyStore\n"
        "from tests.test_replies import key, reply\n"
        "store = ReplyStore(Path(sys.argv[1]), notice=lambda text: sys.exit(text))\n"
        "for n in range(100):\n"
        "    store.put({key(int(sys.argv[2]) + n): reply(str(n))})\n"
        "    store.get([key(n)])\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(1_000 * n)])
        for n in range(3)
    ]
    assert [one.wait() for one in running] == [0, 0, 0]
    found = ReplyStore(tmp_path, notice=notices.append).get(
        key(1_000 * one + n) for one in range(3) for n in range(100)
    )
    assert len(found) > 250  # one that waits too long for the others keeps nothing
    assert notices == []


# ---------------------------------------------------------------------- what is wrong


def test_a_file_that_is_none(tmp_path: Path, notices: list[str]) -> None:
    (tmp_path / FILE).write_text("not a database, by far. " * 50)
    store = ReplyStore(tmp_path, notice=notices.append)
    store.put({key(1): reply("x")})
    assert store.get([key(1)]) == {}
    assert len(notices) == 1
    assert FILE in notices[0]
    assert "not a database" in notices[0]
    assert (tmp_path / FILE).read_text().startswith("not a database, by far.")


def test_one_of_another_version(tmp_path: Path, notices: list[str]) -> None:
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("PRAGMA user_version = 9")
    assert ReplyStore(tmp_path, notice=notices.append).get([key(1)]) == {}
    assert "version 9" in notices[0]


def test_one_with_other_tables(tmp_path: Path, notices: list[str]) -> None:
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("CREATE TABLE replies (other TEXT)")
    store = ReplyStore(tmp_path, notice=notices.append)
    store.put({key(1): reply("x")})
    assert store.get([key(1)]) == {}
    assert len(notices) == 1


def test_a_folder_that_is_not_there(tmp_path: Path, notices: list[str]) -> None:
    store = ReplyStore(tmp_path / "none", notice=notices.append)
    store.put({key(1): reply("x")})
    assert len(notices) == 1


@pytest.mark.parametrize(
    "changed", ["UPDATE replies SET reply = x'00'", "UPDATE replies SET reply = 'text'"]
)
def test_a_reply_that_is_not_what_was_written(
    tmp_path: Path, store: ReplyStore, notices: list[str], changed: str
) -> None:
    store.put({key(1): reply("x"), key(2): reply("y")})
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute(changed)
    assert store.get([key(1)]) == {}
    assert "not what was written" in notices[0]
    assert store.get([key(2)]) == {}
    assert len(notices) == 1


def test_a_reply_under_another_key(tmp_path: Path, store: ReplyStore, notices: list[str]) -> None:
    store.put({key(1): reply("x"), key(2): reply("y")})
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute(
            "UPDATE replies SET reply = (SELECT reply FROM replies WHERE key = ?)", [key(2)]
        )
    assert store.get([key(1)]) == {}
    assert notices


def test_no_damage_gives_another_reply(tmp_path: Path) -> None:
    """Bytes changed anywhere in the file: the right replies, or none, and no exception."""
    picked = random.Random(1)
    replies = {key(n): reply(f"reply {n} " * 50) for n in range(60)}
    store = ReplyStore(tmp_path)
    store.put(replies)
    store.close()
    raw = (tmp_path / FILE).read_bytes()
    hits = 0
    for number in range(300):
        folder = tmp_path / str(number)
        folder.mkdir()
        damaged = bytearray(raw)
        for _ in range(picked.randint(1, 40)):
            damaged[picked.randrange(len(damaged))] = picked.randrange(256)
        if number % 10 == 0:
            del damaged[picked.randrange(len(damaged)) :]
        (folder / FILE).write_bytes(damaged)
        notices: list[str] = []
        store = ReplyStore(folder, notice=notices.append)
        found = store.get(replies)
        store.put({key(99): reply("new")})
        found |= store.get([key(99)])
        store.close()
        assert all(each == replies.get(at, reply("new")) for at, each in found.items())
        assert len(notices) <= 1
        hits += bool(found)
    assert hits


def test_another_process_that_writes_for_long(
    tmp_path: Path, store: ReplyStore, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put({key(1): reply("x")})
    store._file.execute("PRAGMA busy_timeout = 50")  # type: ignore[union-attr]
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert store.get([key(1)]) == {key(1): reply("x")}  # it can be read all the while
    store.put({key(2): reply("y")})
    other.execute("COMMIT")
    assert store.get([key(2)]) == {}
    store.put({key(2): reply("y")})
    assert store.get([key(2)]) == {key(2): reply("y")}
    assert notices == []
    other.close()


def test_a_disk_that_is_full(tmp_path: Path, notices: list[str]) -> None:
    store = ReplyStore(tmp_path, notice=notices.append)
    store.put({key(1): reply("x")})
    store._file.execute("PRAGMA max_page_count = 8")  # type: ignore[union-attr]
    store.put({key(2): reply("y" * 100_000)})
    assert "full" in notices[0]
    store.put({key(3): reply("z")})
    assert len(notices) == 1
    assert ReplyStore(tmp_path).get([key(1), key(2)]) == {key(1): reply("x")}


# ------------------------------------------------------------------------ for a model


class Known(ScriptedModel):
    """A model with an identity, as one that is loaded from a file has."""

    def __init__(self, identity: str = "one", *, window: int = 9_000, prefix: str = "") -> None:
        super().__init__(
            turns=[cell("FINAL(llm_query_batched(['a', 'b', 'a']))")],
            sub_calls=[f"{prefix}{n}" for n in range(99)],
            context_tokens=window,
        )
        self._info = msgspec.structs.replace(self._info, identity=identity)


def ask(model: ScriptedModel, kept: ReplyStore, text: str, **how: object) -> Completion:
    request = Request(messages=(Message("user", text),), max_tokens=9)
    request = msgspec.structs.replace(request, **how)
    [done] = MemoModel(model, kept=kept).complete([request], deadline=math.inf, token_limit=1 << 40)
    return done


def test_the_same_model_is_not_asked_again(store: ReplyStore) -> None:
    first = ask(Known(prefix="first "), store, "x", node="0", call=3)
    model = Known(prefix="second ")
    again = ask(model, store, "x", node="0.2", call=1, depth=2, seed=9)
    assert (first.text, first.reused) == ("first 0", False)
    assert (again.text, again.reused, again.work_tokens) == ("first 0", True, 0)
    assert again.prompt_tokens == again.cached_tokens == first.prompt_tokens
    assert model.requests == []


@pytest.mark.parametrize(
    ("other", "how"),
    [
        (Known("another", prefix="second "), {}),
        (Known(window=8_000, prefix="second "), {}),
        (Known(prefix="second "), {"max_tokens": 8}),
        (Known(prefix="second "), {"choices": ("second 0", "b")}),
        (Known(prefix="second "), {"schema": {"type": "string"}}),
        (Known(prefix="second "), {"messages": (Message("user", "y"),)}),
    ],
)
def test_what_differs_is_asked(store: ReplyStore, other: Known, how: dict[str, object]) -> None:
    ask(Known(prefix="first "), store, "x")
    done = ask(other, store, "x", **how)
    assert (done.text, done.reused) == ("second 0", False)


@pytest.mark.parametrize("how", [{"temperature": 0.5}, {"dialogue": "0"}])
def test_what_need_not_be_the_same_is_not_kept(store: ReplyStore, how: dict[str, object]) -> None:
    model = Known()
    for _ in range(2):
        with_turns = ask(model, store, "x", **how) if "temperature" in how else None
        assert with_turns is None or not with_turns.reused
    assert store._file.execute("SELECT COUNT(*) FROM replies").fetchone() == (0,)  # type: ignore[union-attr]


def test_a_model_of_unknown_identity_is_asked(store: ReplyStore) -> None:
    ask(Known("", prefix="first "), store, "x")
    assert ask(Known("", prefix="second "), store, "x").text == "second 0"


def test_what_a_limit_cut_short_is_not_kept(store: ReplyStore) -> None:
    request = Request(messages=(Message("user", "one two three"),), max_tokens=9)
    memo = MemoModel(Known(), kept=store)
    [cut] = memo.complete([request], deadline=math.inf, token_limit=2)
    assert cut.finish == "tokens"
    assert not ask(Known(), store, "one two three").reused


# -------------------------------------------------------------------------- for a run


def run(*, reuse: bool, prefix: str, stages: list[str] | None = None) -> tuple[str, int, int]:
    """A run's answer, its reused calls, and the tokens of its calls."""

    def progress(stage: str, done: int, total: int) -> None:
        if stages is not None:
            stages.append(stage)

    with Runtime(model=Known(prefix=prefix), reuse_calls=reuse, progress=progress) as session:
        answer = session.ask("q", "text", mode="rlm")
    return answer.text, answer.usage.reused_calls, answer.usage.call_tokens


@pytest.mark.usefixtures("folders")
def test_runs_that_ask_for_it_share_their_replies() -> None:
    assert run(reuse=False, prefix="first ") == ("['first 0', 'first 1', 'first 0']", 1, 6)
    assert run(reuse=True, prefix="second ") == ("['second 0', 'second 1', 'second 0']", 1, 6)
    assert run(reuse=True, prefix="third ") == ("['second 0', 'second 1', 'second 0']", 3, 0)
    assert run(reuse=False, prefix="last ") == ("['last 0', 'last 1', 'last 0']", 1, 6)


@pytest.mark.usefixtures("folders")
def test_a_damaged_store_is_told_of_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "cache" / "replies").mkdir(parents=True, mode=0o700)
    os.chmod(tmp_path / "cache", 0o700)
    (tmp_path / "cache" / "replies" / FILE).write_text("damaged " * 200)
    stages: list[str] = []
    text, reused, _ = run(reuse=True, prefix="first ", stages=stages)
    assert (text, reused) == ("['first 0', 'first 1', 'first 0']", 1)
    assert any("the kept replies in" in stage for stage in stages)
