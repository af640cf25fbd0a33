"""A run on a terminal: steps in colour, progress bars, and a last line on what is left."""

from __future__ import annotations

import threading
import time
from typing import IO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.rule import Rule
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.text import Text

from rlm_local.records import (
    Event,
    NodeEnded,
    NodeStarted,
    Ran,
    Replied,
    RunEnded,
    RunStarted,
    SubCalled,
    TurnStarted,
    depth_of,
)
from rlm_local.units import format_bytes, format_seconds
from rlm_local.views import (
    SHOWN_LINES,
    QuietView,
    Tally,
    asked,
    effort,
    ended,
    ending,
    heading,
    output,
    said,
    shortened,
    sub_calls,
    visible,
    whose,
)


class TerminalView(QuietView):
    """Steps in colour, and a last line that says what is being done and what is left."""

    def __init__(self, stream: IO[str], *, lines: int = SHOWN_LINES, moving: bool = True) -> None:
        """`moving=False`: no last line and no progress bars, for a run that is over."""
        self._console = Console(file=stream)
        self._lines = lines
        self._moving = moving
        self._tally = Tally()
        self._doing = "starting"
        self._since = time.monotonic()
        self._spinner = Spinner("dots")
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._live: Live | None = None
        self._bars_lock = threading.Lock()  # parts that start side by side tell of it

    def progress(self, stage: str, done: int, total: int) -> None:
        with self._bars_lock:
            if self._live is None and self._moving:
                self._show(stage, done, total)

    def _show(self, stage: str, done: int, total: int) -> None:
        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[size]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total or None, size="")
        size = f"{format_bytes(done)} of {format_bytes(total)}" if total else format_bytes(done)
        self._bars.update(
            self._tasks[stage], completed=done, total=total or None, size=size if done else ""
        )

    def event(self, event: Event) -> None:
        self._tally.add(event)
        match event:
            case RunStarted():
                self._stop_bars()
                self._print(Text(visible(heading(event)), style="bold"))
                self._start_line()
            case NodeStarted():
                self._print(_line(asked(event), "bold", event.node))
            case TurnStarted():
                title = Text(f"{whose(event.node)}turn {event.turn}", style="bold")
                rule = Rule(title, style="dim", align="left")
                self._print(Padding(rule, _margin(event.node, 0)))
                self._do("the model writes")
            case Replied():
                thoughts = shortened(event.completion.thought.strip(), self._lines)
                self._print(_text(thoughts, "dim italic", event.node))
                self._print(_line(note, "dim", event.node) if (note := effort(event)) else None)
                self._print(_text(said(event), "italic", event.node))
                self._print(_code(event.code, event.node))
                self._do("the code runs")
            case SubCalled():
                self._print(_line(sub_calls(event), "cyan", event.node))
            case Ran():
                style = "red" if event.observation.error else "dim"
                text = shortened(output(event.observation), self._lines)
                self._print(_text(text, style, event.node))
            case NodeEnded():
                style = "yellow" if event.message else "green"
                self._print(_line(ended(event), style, event.node))
            case RunEnded():
                self._stop_line()
                style = "green" if event.answer.complete else "yellow"
                self._print(Text(visible(ending(event)), style=style))

    def close(self) -> None:
        self._stop_bars()
        self._stop_line()

    def _print(self, *parts: RenderableType | None) -> None:
        for part in parts:
            if part is not None:
                self._console.print(part)

    def _start_line(self) -> None:
        if self._moving:
            self._live = Live(
                console=self._console,
                get_renderable=self._line,
                refresh_per_second=8,
                transient=True,
            )
            self._live.start()

    def _stop_bars(self) -> None:
        with self._bars_lock:
            if self._bars is not None:
                self._bars.stop()
                self._bars = None
                self._tasks.clear()

    def _stop_line(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _do(self, what: str) -> None:
        self._doing, self._since = what, time.monotonic()

    def _line(self) -> RenderableType:
        took = format_seconds(time.monotonic() - self._since)
        doing = f"{self._doing} {took}"
        if self._tally.children:  # of many, none is what is being done
            doing = f"children at work: {self._tally.children}"
        self._spinner.text = Text(f"{doing} · {self._tally.left()}", style="dim")
        return self._spinner


def _margin(node: str, left: int = 2) -> tuple[int, int, int, int]:
    """Children stand further in, the deeper the further."""
    return (0, 0, 0, left + 2 * depth_of(node))


def _line(text: str, style: str, node: str) -> RenderableType:
    line = Text(whose(node) + visible(text), style=style)
    return Padding(line, _margin(node, 0), expand=False)


def _text(text: str, style: str, node: str) -> RenderableType | None:
    if not text:
        return None
    return Padding(Text(visible(text), style=style), _margin(node), expand=False)


def _code(code: str, node: str) -> RenderableType | None:
    if not code.strip():
        return None
    syntax = Syntax(
        visible(code.strip("\n")),
        "python",
        theme="ansi_dark",
        background_color="default",
        word_wrap=True,
    )
    return Padding(syntax, _margin(node), expand=False)
