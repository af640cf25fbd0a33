"""Jobs and the threads that do them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from rlm_local.helpers import Helpers, Job


def test_a_job_is_done_once_whoever_comes_first() -> None:
    done: list[int] = []
    job = Job(lambda: done.append(1))
    threads = [threading.Thread(target=job.run) for _ in range(8)]
    for thread in threads:
        thread.start()
    job.result()
    for thread in threads:
        thread.join()
    assert done == [1]
    assert job.done


def test_what_a_job_raises_is_raised_where_it_is_waited_for() -> None:
    job = Helpers().start(Job(lambda: 1 // 0))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            job.result()


def test_a_dropped_job_never_begins() -> None:
    done: list[int] = []
    job = Job(lambda: done.append(1))
    job.drop()
    job.run()
    job.settle()
    assert done == []


def test_all_keeps_the_order() -> None:
    def slowly(number: int) -> Callable[[], int]:
        def run() -> int:
            time.sleep(0.002 * (number % 3))
            return number

        return run

    assert Helpers().all([slowly(number) for number in range(30)]) == list(range(30))


def test_work_is_done_side_by_side_but_not_by_too_many() -> None:
    lock = threading.Lock()
    now = most = 0

    def run() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1

    Helpers(most=3).all([run] * 12)
    assert 1 < most <= 4  # the helpers, and who waits for them


def test_jobs_that_wait_for_jobs_never_wait_for_a_thread() -> None:
    helpers = Helpers(most=2)

    def nested(depth: int) -> int:
        return 1 + sum(helpers.all([lambda: nested(depth - 1)] * 3)) if depth else 1

    assert nested(5) == sum(3**n for n in range(6))


def test_when_all_raises_everything_has_ended() -> None:
    running = threading.Semaphore(0)
    ended: list[int] = []

    def slow() -> None:
        running.release()
        time.sleep(0.1)
        ended.append(1)

    def fail() -> None:
        running.acquire()
        raise ValueError("as asked")

    helpers = Helpers()
    with pytest.raises(ValueError, match="as asked"):
        helpers.all([fail, slow, *[slow] * 30])
    before = len(ended)
    assert 1 <= before < 31
    time.sleep(0.15)
    assert len(ended) == before


def test_a_check_ends_the_waiting_and_not_the_job() -> None:
    release = threading.Event()
    job = Helpers().start(Job(lambda: release.wait(10)))
    while not job._claimed.locked():
        time.sleep(0.001)

    def check() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        job.result(check)
    release.set()
    assert job.result()


def test_threads_live_only_while_there_is_work() -> None:
    helpers = Helpers()
    helpers.all([lambda: time.sleep(0.01)] * 6)
    helpers.join()
    assert not [thread for thread in threading.enumerate() if thread.name == "helper"]


def test_join_drops_what_has_not_begun() -> None:
    helpers = Helpers(most=1)
    release = threading.Event()
    helpers.start(Job(lambda: release.wait(10)))
    later = [helpers.start(Job(lambda: None)) for _ in range(3)]
    threading.Timer(0.05, release.set).start()
    helpers.join()
    assert not any(job.done for job in later[1:])


def test_where_no_thread_can_be_started_who_waits_does_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_more(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    helpers = Helpers()
    assert helpers.all([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]
    assert helpers.start(Job(lambda: 4)).result() == 4
    helpers.join()
