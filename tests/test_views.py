"""What people see of a run, and that nothing a model writes can reach the terminal raw."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local import live
from rlm_local.live import TerminalView
from rlm_local.records import (
    Answer,
    Completion,
    Event,
    GuestError,
    Observation,
    Ran,
    Replied,
    RunEnded,
    RunStarted,
    StopReason,
    SubCalled,
    TurnStarted,
    Usage,
)
from rlm_local.views import Aside, EventLines, PlainView, QuietView, Tally, View, shortened, visible

EVIL = "\x1b[2J\x1b]0;owned\x07\r\u202egnp.exe\x9b31m\ud800 plain"


def completion(text: str = "", **tokens: int) -> Completion:
    counts = {"prompt_tokens": 100, "cached_tokens": 60, "completion_tokens": 10, **tokens}
    return Completion(text=text, finish="stop", seconds=0.5, **counts)


def events(text: str) -> list[Event]:
    """One run in which every string that a model or guest writes contains `text`."""
    reply = f"I think {text}.\n```repl\nprint({text!r})\n```\n"
    return [
        RunStarted(
            run_id="20260101-000000-000-aaaa",
            time=0.0,
            question=f"why {text}?",
            model="m",
            mode="rlm",
            prompt={"chars": 40_000_000},
            limits={"wall_seconds": 600.0, "turns": 20, "sub_calls": 2000, "tokens": 4_000_000},
        ),
        TurnStarted(turn=1),
        Replied(
            turn=1,
            text=reply,
            code=f"# {text}\n",
            completion=msgspec.structs.replace(
                completion(reply),
                thought=f"<think>Hm {text}</think>",
                thought_tokens=7,
                retries=1,
            ),
        ),
        SubCalled(
            turn=1, prompts=(text, text), replies=(text,), completions=(completion(),), seconds=0.25
        ),
        Ran(
            turn=1,
            observation=Observation(
                stdout=f"out {text}\n",
                value=f"value {text}",
                error=GuestError(type="ValueError", message=text, traceback=f"Traceback {text}"),
            ),
            shown=text,
            turn_seconds=1.0,
            model_seconds=0.5,
            overhead_seconds=0.001,
        ),
        RunEnded(
            time=1.0,
            answer=Answer(
                text=text,
                stop=StopReason.TURNS,
                usage=Usage(seconds=1.5, turns=1),
                run_id="20260101-000000-000-aaaa",
                model="m",
                message=f"no more turns {text}",
            ),
        ),
    ]


def watch(view: View, text: str) -> None:
    with view:
        view.progress("reading", 10, 100)
        view.progress("reading", 100, 100)
        view.progress("compiling", 0, 0)
        view.progress("compiling", 0, 0)
        for event in events(text):
            view.event(event)


def test_plain_lines_tell_the_whole_run():
    stream = io.StringIO()
    watch(PlainView(stream), "this")
    assert stream.getvalue().splitlines() == [
        "compiling",
        "run 20260101-000000-000-aaaa: m on 40,000,000 characters (rlm): why this?",
        "turn 1 (left: 10m00s, 19 turns, 2,000 sub-calls, 4,000,000 tokens)",
        "  (thought for 7 tokens, written again 1 time)",
        "  I think this.",
        "  | # this",
        "  2 sub-calls in 250.0 ms, 50 tokens",
        "  > out this",
        "  > value this",
        "  > Traceback this",
        "turns (no more turns this) in 1.50 s: 1 turn, 0 sub-calls, 0 tokens; "
        "run 20260101-000000-000-aaaa",
    ]


def test_a_terminal_shows_every_step(capsys: pytest.CaptureFixture[str]):
    stream = io.StringIO()
    watch(TerminalView(stream, moving=False), "this")
    shown = stream.getvalue()
    thought = ("Hm this", "thought for 7 tokens")
    for part in ("why this?", "turn 1", *thought, "I think this.", "# this", "2 sub-calls"):
        assert part in shown
    assert "out this" in shown
    assert "Traceback this" in shown
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("moving", [True, False])
def test_a_terminal_gets_no_control_that_the_model_wrote(
    moving: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    watch(TerminalView(stream, moving=moving), EVIL)
    shown = stream.getvalue()
    for dangerous in ("\x1b[2J", "\x1b]0;", "\x07", "\u202e", "\x9b", "\ud800"):
        assert dangerous not in shown
    assert "\\x1b[2J" in shown


def test_plain_lines_hold_no_control_that_the_model_wrote():
    stream = io.StringIO()
    watch(PlainView(stream), EVIL)
    assert set(stream.getvalue()) & set("\x1b\x07\r\u202e\x9b\ud800") == set()


@given(st.text(st.characters()))
def test_visible_text_holds_no_controls_and_keeps_the_rest(text: str):
    shown = visible(text)
    for character in shown:
        if character not in "\t\n":
            assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
    if text.isascii() and text.isprintable():
        assert shown == text
    shown.encode()


def test_visible_text_holds_nothing_that_sets_a_direction():
    every = "".join(map(chr, range(0x110000)))
    kinds = {unicodedata.bidirectional(character) for character in visible(every)}
    assert not kinds & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not {"\u061c", "\u200e", "\u200f"} & set(visible(every))  # the marks


def test_visible_keeps_letters_of_every_script_and_emoji():
    for text in ("Ünïcödé", "日本語", "עברית", "🙂 नमस्ते 👩‍🔬", "tab\tline\n"):
        assert visible(text) == text


def test_event_lines_are_one_json_object_each():
    stream = io.BytesIO()
    watch(EventLines(stream), EVIL)
    lines = stream.getvalue().splitlines()
    assert [json.loads(line)["type"] for line in lines] == [
        "start", "turn", "reply", "sub_calls", "ran", "end",
    ]  # fmt: skip
    assert json.loads(lines[2])["code"] == f"# {EVIL}\n"


def test_a_quiet_view_shows_nothing(capsys: pytest.CaptureFixture[str]):
    watch(QuietView(), "x")
    assert capsys.readouterr() == ("", "")


def test_the_tally_counts_what_the_tokens_limit_counts():
    tally = Tally()
    for event in events("x"):
        tally.add(event)
    assert (tally.turns, tally.sub_calls, tally.tokens) == (1, 2, 100)
    assert tally.left().endswith("19 turns, 1,998 sub-calls, 3,999,900 tokens")


def test_long_output_is_shortened_and_says_so():
    text = "\n".join(str(n) for n in range(20))
    assert shortened(text, 3).splitlines() == ["0", "1", "2", "… 17 more lines"]
    assert shortened("x" * 5_000, 3).endswith("… (5,000 characters)")
    assert shortened("short", 3) == "short"


def test_a_view_aside_shows_everything_by_the_time_it_is_closed():
    stream, direct = io.StringIO(), io.StringIO()
    watch(Aside(PlainView(stream)), "this")
    watch(PlainView(direct), "this")
    assert stream.getvalue() == direct.getvalue()


def test_a_view_aside_costs_the_run_nothing():
    release = threading.Event()

    class Slow(QuietView):
        def event(self, event: Event) -> None:
            release.wait(10)

    with Aside(Slow()) as view:
        for event in events("x"):
            view.event(event)  # would wait for ever, were it not aside
        release.set()


def test_a_view_aside_survives_a_stream_that_has_gone():
    class Gone(QuietView):
        def event(self, event: Event) -> None:
            raise BrokenPipeError

    watch(Aside(Gone()), "x")


def test_a_view_aside_without_a_thread_shows_all_at_the_end(monkeypatch: pytest.MonkeyPatch):
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    stream, at_once = io.StringIO(), io.StringIO()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    watch(Aside(PlainView(stream)), "this")
    watch(PlainView(at_once), "this")
    assert stream.getvalue() == at_once.getvalue() != ""


def test_a_view_aside_that_nothing_was_told_of():
    threads, closed = threading.active_count(), []

    class Shown(QuietView):
        def close(self) -> None:
            closed.append(True)

    with Aside(Shown()):
        assert threading.active_count() == threads  # the wall is put up in between
    assert closed


def test_parts_that_start_side_by_side_share_the_bars(monkeypatch: pytest.MonkeyPatch):
    moving: list[object] = []
    both = threading.Barrier(2, timeout=0.5)

    class Bars(live.Progress):
        def __init__(self, *columns: Any, **options: Any) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait()  # for the other thread, which must not get here
            super().__init__(*columns, **options)

        def start(self) -> None:
            moving.append(self)

        def stop(self) -> None:
            moving.remove(self)

    monkeypatch.setattr(live, "Progress", Bars)
    view = TerminalView(io.StringIO())
    parts = [
        threading.Thread(target=view.progress, args=[stage, 1, 2])
        for stage in ("reading", "loading")
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    assert len(moving) == 1
    view.close()
    assert moving == []
