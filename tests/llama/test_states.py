"""KV cells that leave the cache and come back."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm_local.llama import LlamaModel, inspect
from rlm_local.llama.cache import WORTH_MOVING, PrefixCache
from rlm_local.llama.identity import identity, state_key
from rlm_local.llama.native import Loading, Native
from rlm_local.llama.places import Places
from rlm_local.llama.scheduler import CROWD, Scheduler
from rlm_local.llama.states import PrefixStore, Swap
from rlm_local.records import Message, Request
from tests.llama.conftest import MEMORY
from tests.llama.fake import reference
from tests.llama.test_calls import job, right, run
from tests.llama.test_scheduler import Setup, alike
from tests.llama.test_together import complete

SYSTEM = "the question is in the text and the answer is in the line " * 25


def tokens(*numbers: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.array(numbers, np.int32)


# -------------------------------------------------------------------- files


@pytest.fixture
def store(tmp_path: Path) -> PrefixStore:
    return PrefixStore(tmp_path / "states" / "key")


def reopened(store: PrefixStore) -> PrefixStore:
    return PrefixStore(store._folder)


def test_what_is_stored_is_there_for_the_next(store: PrefixStore) -> None:
    store.put(tokens(1, 2, 3), memoryview(b"the state"))
    for one in (store, reopened(store)):
        [state] = one.states
        assert state.tokens.tolist() == [1, 2, 3]
        content = state.read()
        assert content is not None
        assert bytes(content) == b"the state"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_goes_unseen(tmp_path: Path, data: st.DataObject) -> None:
    """A truncated state ends llama.cpp's process, so it must never get there."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    PrefixStore(folder).put(tokens(5, 6, 7), memoryview(bytes(range(200))))
    [path] = folder.glob("*.kv")
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
        raw += bytes(data.draw(st.integers(0, 3)))
    if bytes(raw) == path.read_bytes():
        return
    path.write_bytes(raw)
    assert [state.read() for state in PrefixStore(folder).states] in ([], [None])


def test_cut_short_after_it_was_listed(store: PrefixStore) -> None:
    store.put(tokens(1, 2), memoryview(bytes(1_000)))
    [state] = store.states
    os.truncate(state.path, 500)
    assert state.read() is None
    store.discard(state)
    assert (store.states, state.path.exists()) == ([], False)
    assert state.read() is None


def test_a_folder_that_can_only_be_read(
    store: PrefixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(tokens(1, 2), memoryview(b"the state"))

    def refuses(*_: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuses)
    [state] = reopened(store).states
    assert state.read() == b"the state"


def test_the_oldest_make_space(tmp_path: Path) -> None:
    others = PrefixStore(tmp_path / "other model")
    others.put(tokens(9), memoryview(bytes(4_000)))
    [old] = (tmp_path / "other model").glob("*.kv")
    os.utime(old, (1, 1))
    store = PrefixStore(tmp_path / "key", most_bytes=10_000)
    for number in range(3):
        store.put(tokens(number), memoryview(bytes(3_500)))
        [path] = [s.path for s in store.states if s.tokens.tolist() == [number]]
        os.utime(path, (number + 2, number + 2))
    assert not old.exists()
    assert [s.tokens.tolist() for s in reopened(store).states] in ([[1], [2]], [[2], [1]])


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path / "states" / "key", most_bytes=1_000)
    old, new = (
        tmp_path / "states" / "other" / f"{0:032x}{name}.unfinished" for name in ("_old", "_new")
    )
    old.parent.mkdir()
    for path in (old, new):
        path.write_bytes(bytes(400))
    os.utime(old, (0, 0))
    folder = old.with_name(f"{1:032x}.kv")
    folder.mkdir()
    os.utime(folder, (0, 0))
    store.put(tokens(1), memoryview(bytes(100)))
    assert (old.exists(), new.exists()) == (False, True)
    store.put(tokens(2), memoryview(bytes(480)))  # beside what another process may be writing
    assert [state.tokens.tolist() for state in reopened(store).states] == [[2]]
    assert new.exists()


def test_others_files_are_left_alone(tmp_path: Path) -> None:
    """The folder is whatever somebody gave us: a home, for all we know."""
    foreign = [
        tmp_path / "documents" / name
        for name in ("thesis.tex", "notes.kv", "tmpabc", "draft.unfinished", f"{0:032x}")
    ]
    foreign[0].parent.mkdir()
    for path in foreign:
        path.write_bytes(bytes(400))
        os.utime(path, (0, 0))
    store = PrefixStore(tmp_path / "key", most_bytes=500)
    for number in range(3):
        store.put(tokens(number), memoryview(bytes(300)))
    assert all(path.exists() for path in foreign)
    assert [state.tokens.tolist() for state in reopened(store).states] == [[2]]


def test_one_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path / "key", most_bytes=100)
    store.put(tokens(1), memoryview(bytes(101)))
    assert store.states == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = PrefixStore(tmp_path / "file" / "key")
    store.put(tokens(1), memoryview(b"x"))
    assert store.states == []


def test_a_swap_that_is_full_drops_the_oldest(tmp_path: Path) -> None:
    swap = Swap(tmp_path, most_bytes=100)
    assert swap.space(101) is None
    setup = Setup()
    setup.cache._swap = swap
    space = swap.space(60)
    assert space is not None
    assert len(space) == 60
    assert list(tmp_path.iterdir()) == []  # a file without a name


def test_keys_tell_models_and_cells_apart(tmp_path: Path, tiny_path: Path) -> None:
    other = tmp_path / "other.gguf"
    raw = bytearray(tiny_path.read_bytes())
    raw[-3] ^= 1
    other.write_bytes(raw)
    keys = {
        state_key(identity(inspect(path)), cells)
        for path in (tiny_path, other)
        for cells in ("f16", "q8_0")
    }
    assert len(keys) == 4
    assert state_key(identity(inspect(tiny_path)), "f16") in keys


# -------------------------------------------- in the cache, by the fake engine


def with_states(setup: Setup, folder: Path, *, parallel: int = 4) -> Setup:
    setup.cache = PrefixCache(
        setup.engine,
        cells=setup.engine.capacity,
        sequences=16,
        swap=Swap(folder),
        store=PrefixStore(folder / "states" / "key"),
    )
    setup.scheduler = Scheduler(setup.engine, setup.cache, places=Places(parallel, parallel))
    return setup


def test_a_dialogue_that_made_room_comes_back_without_computing(tmp_path: Path) -> None:
    setup = with_states(Setup(cells=300), tmp_path)
    root = alike(1, 150, 10)[0]
    setup.submit([job(root, dialogue="root")])
    run(setup)
    other = [59 - n % 50 for n in range(250)]  # needs nearly all cells
    call = setup.submit([job(other, dialogue="other")])
    run(setup)
    assert right(call.jobs[0])
    again = [*root, *reference(root, 20), 5, 6]
    call = setup.submit([job(again, dialogue="root")])
    run(setup)
    assert right(call.jobs[0])
    done = call.jobs[0].completion()
    assert done.prompt_tokens - done.cached_tokens <= 3


def test_a_forgotten_dialogue_is_not_swapped(tmp_path: Path) -> None:
    setup = with_states(Setup(cells=300), tmp_path)
    setup.submit([job(alike(1, 150, 10)[0], dialogue="0.1", node="0.1")])
    run(setup)
    setup.submit([job([59 - n % 50 for n in range(250)])])
    run(setup)
    assert setup.cache._swap is not None
    assert setup.cache._swap.get("0.1") is not None
    setup.cache.forget("0")
    assert setup.cache._swap.get("0.1") is None


@pytest.mark.parametrize(
    ("length", "calls", "moved"),
    [
        (WORTH_MOVING, CROWD, True),
        (WORTH_MOVING, CROWD - 1, False),
        (WORTH_MOVING - 1, CROWD, False),
    ],
)
def test_a_long_dialogue_makes_way_for_a_crowd(
    tmp_path: Path, length: int, calls: int, moved: bool
) -> None:
    setup = with_states(Setup(cells=2_000), tmp_path)
    root = alike(1, length - 1, 1)[0]
    setup.submit([job(root, dialogue="root", max_tokens=1)])
    run(setup)
    assert setup.cache.used == length
    setup.submit([job([n, 2, 3, 4], max_tokens=4) for n in range(calls)])
    assert (setup.cache.used == 0) == moved
    run(setup)
    again = [*root, *reference(root, 1), 5, 6]
    [last] = setup.submit([job(again, dialogue="root")]).jobs
    run(setup)
    assert right(last)
    assert last.completion().prompt_tokens - last.completion().cached_tokens <= 3


def test_a_dialogue_that_waits_for_its_turn_is_not_moved(tmp_path: Path) -> None:
    setup = with_states(Setup(cells=2_000), tmp_path)
    root = alike(1, WORTH_MOVING, 1)[0]
    setup.submit([job(root, dialogue="root", max_tokens=1)])
    run(setup)
    setup.submit([job([*root, *reference(root, 1), 5], dialogue="root")])
    held = setup.cache.used
    setup.submit([job([n, 2, 3, 4], max_tokens=4) for n in range(CROWD)])
    assert setup.cache.used == held
    run(setup)


def test_a_long_dialogue_stays_where_there_is_no_room_outside(tmp_path: Path) -> None:
    setup = with_states(Setup(cells=2_000), tmp_path)
    setup.cache._swap = Swap(tmp_path, most_bytes=10)
    setup.submit([job(alike(1, WORTH_MOVING, 1)[0], dialogue="root", max_tokens=1)])
    run(setup)
    held = setup.cache.used
    setup.submit([job([n, 2, 3, 4], max_tokens=4) for n in range(CROWD)])
    assert setup.cache.used == held
    run(setup)


def test_a_prefix_is_stored_once_and_loaded_by_the_next(tmp_path: Path) -> None:
    setup = with_states(Setup(), tmp_path)
    prompt = alike(1, 100, 10)[0]
    for _ in range(2):
        setup.submit([job(prompt, prefix=100, dialogue="root")])
        run(setup)
        setup.cache.tend()
    assert len(list(tmp_path.glob("states/key/*.kv"))) == 1
    assert setup.engine.cells == setup.cache.used
    fresh = with_states(Setup(), tmp_path)
    other = [*prompt[:100], 3, 4, 5, 6]
    call = fresh.submit([job(other, prefix=100)])
    run(fresh)
    assert right(call.jobs[0])
    assert call.jobs[0].completion().cached_tokens == 100
    assert fresh.engine.batches[0] == [(call_number(fresh), 4)]


def call_number(setup: Setup) -> int:
    return setup.engine.batches[0][0][0]


def test_a_damaged_prefix_is_computed_again(tmp_path: Path) -> None:
    setup = with_states(Setup(), tmp_path)
    prompt = alike(1, 100, 10)[0]
    setup.submit([job(prompt, prefix=100)])
    run(setup)
    setup.cache.tend()
    fresh = with_states(Setup(), tmp_path)
    [path] = tmp_path.glob("states/key/*.kv")
    os.truncate(path, path.stat().st_size - 1)
    call = fresh.submit([job(prompt)])
    run(fresh)
    assert right(call.jobs[0])
    assert call.jobs[0].completion().cached_tokens == 0
    assert not path.exists()


DIALOGUES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 3), min_size=1, max_size=60),
        st.sampled_from(["", "one", "two", "three"]),
        st.sampled_from([0, 0, 80]),  # tokens to store
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DIALOGUES, st.integers(200, 300), st.integers(1, 4))
def test_replies_do_not_depend_on_what_was_swapped(
    tmp_path: Path, script: list[tuple[list[int], str, int]], cells: int, parallel: int
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    setup = with_states(Setup(cells=cells), folder, parallel=parallel)
    for tail, dialogue, prefix in script:
        prompt = [(7 * n + len(dialogue)) % 4 for n in range(100)] + tail
        call = setup.submit([job(prompt, dialogue=dialogue, prefix=prefix)])
        run(setup)
        setup.cache.tend()
        assert right(call.jobs[0])
        assert setup.engine.cells == setup.cache.used


# ------------------------------------------------------------- by llama.cpp


@pytest.fixture(scope="module")
def native(tiny_path: Path) -> Native:
    how = Loading(cells=2_048, batch_tokens=512, threads=1, flash=False, mapped=True)
    return Native(tiny_path, how)


def computed(native: Native, sequence: int, row: np.ndarray, at: int = 0) -> bytes:  # type: ignore[type-arg]
    """The logits after `row`, computed from position `at` on."""
    native.add(sequence, row, at, output=True)
    assert native.decode() == 0
    return native.logits()[0].tobytes()


def state(native: Native, sequence: int) -> memoryview:
    into = memoryview(bytearray(native.state_bytes(sequence)))
    assert native.save(sequence, into)
    return into


def test_cells_come_back_bit_for_bit(native: Native) -> None:
    row = np.arange(300, dtype=np.int32) % 200
    computed(native, 0, row)
    saved = state(native, 0)
    following = computed(native, 0, row[:5], 300)
    native.remove(0, 0)
    computed(native, 3, row[::-1].copy()[:77])  # so that it gets other cells than before
    assert native.restore(0, saved)
    assert bytes(state(native, 0)) == bytes(saved)
    assert native.restore(5, saved)  # and as another sequence
    assert computed(native, 5, row[:5], 300) == following
    for number in (0, 3, 5):
        native.remove(number, 0)


def test_a_state_of_another_shape_is_refused(native: Native) -> None:
    row = np.arange(50, dtype=np.int32)
    computed(native, 0, row)
    saved = state(native, 0)
    native.remove(0, 0)
    wrong = memoryview(bytearray(saved))
    wrong[8:12] = b"\x07\0\0\0"
    assert native.restore(1, wrong) in (True, False)
    native.remove(1, 0)


def ask(system: str, text: str, **how: object) -> Request:
    messages = (Message("system", system), Message("user", text))
    return Request(messages=messages, **{"max_tokens": 12, **how})  # type: ignore[arg-type]


def test_a_system_prompt_is_read_once_for_all_processes(tiny_path: Path, tmp_path: Path) -> None:
    with LlamaModel(tiny_path, memory_bytes=MEMORY, states=tmp_path) as first:
        (cold,) = complete(first, ask(SYSTEM, "one", dialogue="0"))
        assert first.count_tokens("so that it has had the time") > 0
    assert cold.cached_tokens == 0
    assert len(list(tmp_path.glob("*/*.kv"))) == 1
    with LlamaModel(tiny_path, memory_bytes=MEMORY, states=tmp_path) as second:
        (same,) = complete(second, ask(SYSTEM, "one", dialogue="0"))
        assert same.text == cold.text
        assert same.cached_tokens > 0.9 * cold.prompt_tokens
        # And by the worker that takes the place of a dead one.
        os.kill(second.pid, signal.SIGKILL)
        (after,) = complete(second, ask(SYSTEM, "two", dialogue="1"))
        assert after.cached_tokens > 0.9 * cold.prompt_tokens


def test_who_leaves_at_once_has_the_system_prompt_stored_too(
    tiny_path: Path, tmp_path: Path
) -> None:
    for number in range(4):
        states = tmp_path / str(number)
        with LlamaModel(tiny_path, memory_bytes=MEMORY, states=states) as model:
            complete(model, ask(SYSTEM, "one", dialogue="0", max_tokens=1))
        assert len(list(states.glob("*/*.kv"))) == 1
        assert len(list(states.glob("*/*"))) == 1  # nothing half written


def test_damaged_states_never_reach_llama_cpp(tiny_path: Path, tmp_path: Path) -> None:
    with LlamaModel(tiny_path, memory_bytes=MEMORY, states=tmp_path) as first:
        (cold,) = complete(first, ask(SYSTEM, "one", dialogue="0"))
        first.count_tokens("wait")
    [path] = tmp_path.glob("*/*.kv")
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:-9] + b"x" + whole[-8:], b""):
        path.write_bytes(damaged)
        with LlamaModel(tiny_path, memory_bytes=MEMORY, states=tmp_path) as model:
            (reply,) = complete(model, ask(SYSTEM, "one", dialogue="0"))
            assert (reply.text, reply.cached_tokens) == (cold.text, 0)
            assert model._workers.restarts_left == 1


def test_dialogues_that_crowd_each_other_out(tiny_path: Path) -> None:
    """Three of them do not fit the cells together; each goes on as if it were alone."""

    def turns(model: LlamaModel, name: str) -> list[Request]:
        first = Request(
            messages=(Message("user", f"{name} {SYSTEM} {SYSTEM}"),), max_tokens=8, dialogue=name
        )
        more = (*first.messages, Message("assistant", "Yes."), Message("user", "Go on."))
        return [first, Request(messages=more, max_tokens=8, dialogue=name)]

    with LlamaModel(tiny_path, memory_bytes=MEMORY) as alone:
        expected = {}
        for name in ("a", "b", "c"):
            expected[name] = [complete(alone, turn)[0].text for turn in turns(alone, name)]
    with LlamaModel(tiny_path, memory_bytes=MEMORY, context_tokens=1_024) as model:
        names = [f"{letter}" for letter in "abc"]
        said = {name: [complete(model, turns(model, name)[0])[0]] for name in names}
        # Sub-calls of many kinds take all cells.
        complete(
            model,
            *[
                Request(messages=(Message("user", f"{n} {SYSTEM[n:]}"),), max_tokens=4)
                for n in range(16)
            ],
        )
        for name in names:
            said[name].append(complete(model, turns(model, name)[1])[0])
    for name in names:
        assert [reply.text for reply in said[name]] == expected[name]
        assert said[name][1].cached_tokens > 0.9 * said[name][0].prompt_tokens
