"""Parts that start on threads of their own, also where the system has no thread left."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rlm_local import cli, runtime
from rlm_local.errors import ModelError, RlmError
from rlm_local.model import ScriptedModel
from rlm_local.starting import Starting, begin
from tests.fakes import cell


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


class Part:
    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_part_is_made_elsewhere_and_closed_there() -> None:
    threads: list[threading.Thread] = []

    def make() -> Part:
        threads.append(threading.current_thread())
        return Part()

    starting = Starting(make)
    part = starting.result()
    starting.check()
    assert threads != [threading.current_thread()]
    assert not part.closed
    starting.close()
    starting.close()
    assert part.closed


def test_without_a_thread_it_is_an_error_where_the_part_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    starting = Starting(Part)
    for use in (starting.result, starting.check):
        with pytest.raises(RlmError, match="another thread: can't start new thread") as caught:
            use()
        assert (caught.value.exit_code, "ulimit -u" in caught.value.hint) == (1, True)
    starting.close()


def test_the_error_is_of_whose_thread_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(ModelError, match="the model needs another thread: can't start"):
        begin(threading.Thread(), "the model", ModelError)


@pytest.mark.parametrize("left", range(4))
def test_a_command_with_too_few_threads_says_so(
    left: int,
    folders: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Two are for starts, and one is for the steps, which can do without."""
    model = ScriptedModel([cell("FINAL(len(context))")])
    monkeypatch.setattr(runtime, "load_model", lambda *_, **__: model)
    (tmp_path / "a.txt").write_text("four")
    real, started = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if len(started) == left:
            no_thread(thread)
        started.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    code = cli.run(["ask", "q", str(tmp_path / "a.txt"), "--mode", "rlm"])
    out, err = capfd.readouterr()
    if left < 2:
        assert (code, out) == (1, "")
        assert err.startswith("error: the program needs another thread: can't start new thread\n")
    else:
        assert (code, out) == (0, "4\n")
        assert "answered in " in err
