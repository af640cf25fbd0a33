"""What guest code tries in order to run on after a limit, past it, or around it.

Each case says what it tries. What must happen is the same for all: the run ends
with the limit's name, nothing is used beyond it, and it does not take long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from rlm_local.model import ScriptedModel
from rlm_local.records import Completion, Event, NodeStarted, Request, StopReason, SubCalled
from tests.recursion.conftest import Asker, Script, by_depth, cell

#: Each tries to make more calls than the limit lets it, or to go on after it was hit.
PAST_THE_CALLS = {
    "swallows whatever is raised": """
while True:
    try: llm_query('x')
    except BaseException: pass
""",
    "goes on in finally": """
def more():
    try: llm_query('x')
    finally: more()
more()
""",
    "a generator that resumes in its handler": """
def calls():
    while True:
        try: yield llm_query('x')
        except BaseException: continue
while True:
    for _ in calls(): pass
""",
    "a generator that is closed and refuses": """
def calls():
    try:
        while True: yield llm_query('x')
    finally:
        while True: llm_query('y')
for _ in calls(): pass
""",
    "a destructor that calls": """
class Again:
    def __del__(self):
        Again(); llm_query('x')
Again()
while True: Again()
""",
    "a context manager that suppresses": """
import contextlib
while True:
    with contextlib.suppress(BaseException): llm_query('x')
""",
    "an exception hook": """
import sys
sys.excepthook = sys.unraisablehook = lambda *a: llm_query('x')
while True:
    try: llm_query('x')
    except BaseException: pass
""",
    "a trace function that calls": """
import sys
def trace(*a):
    llm_query('x')
    return trace
sys.settrace(trace)
def traced(): pass
while True: traced()
""",
    "the glue itself, without the helpers": """
import _rlm
while True:
    try: _rlm.call(b'{"name": "llm_query", "arguments": ["x"]}')
    except BaseException: pass
""",
    "forged children": """
import _rlm
while True:
    try: _rlm.call(b'{"name": "rlm_query_batched", "arguments": [[["q", "x"]], null]}')
    except BaseException: pass
""",
    "submitting without ever collecting": """
while True:
    try: submit('x')
    except BaseException: pass
""",
    "submitting children": """
while True:
    try: submit('q', 'x')
    except BaseException: pass
""",
    "one batch after another": """
while True:
    try: llm_query_batched(['x'] * 7)
    except BaseException: pass
""",
    "tasks that swallow": """
import asyncio
async def again():
    while True:
        try: await llm_query_async('x')
        except BaseException: pass
await asyncio.gather(*[again() for _ in range(3)])
""",
    "helpers that were replaced": """
import _rlm_calls
_rlm_calls.ask_host = lambda *a: 'no limit'
globals()['llm_query'] = lambda p: 'no limit'
while True:
    try: __import__('_rlm').call(b'{"name": "llm_query", "arguments": ["x"]}')
    except BaseException: pass
""",
    "a signal handler that calls": """
import signal
signal.signal(signal.SIGINT, lambda *a: llm_query('x'))
while True:
    try: signal.raise_signal(signal.SIGINT)
    except BaseException: pass
""",
    "atexit": """
import atexit
atexit.register(lambda: [llm_query('x') for _ in range(10**6)])
while True: atexit._run_exitfuncs(); atexit.register(lambda: llm_query('x'))
""",
    "weakref callbacks": """
import weakref
class Thing: pass
while True:
    thing = Thing()
    weakref.finalize(thing, llm_query, 'x')
    del thing
""",
}

#: Each tries to outlast the wall clock.
PAST_THE_CLOCK = {
    "swallows KeyboardInterrupt": """
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "ignores the signal": """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True: pass
""",
    "a handler that returns": """
import signal
signal.signal(signal.SIGINT, lambda *a: None)
while True: pass
""",
    "a handler that loops": """
import signal
def forever(*a):
    while True: pass
signal.signal(signal.SIGINT, forever)
while True: pass
""",
    "a generator that resumes": """
def forever():
    while True:
        try: yield
        except BaseException: pass
g = forever(); next(g)
while True:
    try:
        while True: g.send(None)
    except BaseException as e:
        g.throw(e)
""",
    "finally without end": """
try:
    while True: pass
finally:
    while True: pass
""",
    "sleeping": """
import time
while True:
    try: time.sleep(10**6)
    except BaseException: pass
""",
    "polling a handle that is never done": """
h = submit('wait')
while True:
    try: h.done()
    except BaseException: pass
""",
    "waiting for a handle": """
h = submit('wait')
while True:
    try: h.result()
    except BaseException: pass
""",
    "a task that swallows its cancellation": """
import asyncio
async def forever():
    while True:
        try: await asyncio.sleep(0)
        except BaseException: pass
await forever()
""",
    "asyncio.run in a loop": """
import asyncio
async def forever():
    while True: await asyncio.sleep(0)
while True:
    try: asyncio.run(forever())
    except BaseException: pass
""",
    "a clock that was set": """
import time
time.time = time.monotonic = lambda: 0
while time.monotonic() < 1:
    try:
        while True: pass
    except BaseException: pass
""",
    "a regular expression that backtracks": """
import re
while True:
    try: re.match('(a+)+$', 'a' * 64 + 'b')
    except BaseException: pass
""",
}


class Waiting(ScriptedModel):
    """Answers a plain call only when it is cancelled, or at the deadline."""

    def __init__(self, turns: Script) -> None:
        super().__init__(turns, lambda request: "y")
        self._cancelled = threading.Event()

    def cancel(self, node: str = "") -> None:
        self._cancelled.set()

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        if not requests[0].dialogue:
            self._cancelled.wait(deadline - time.monotonic())
        return super().complete(requests, deadline=deadline, token_limit=token_limit)


@pytest.mark.parametrize("code", PAST_THE_CALLS.values(), ids=PAST_THE_CALLS)
@pytest.mark.parametrize("depth", [0, 1], ids=["root", "child"])
def test_no_code_makes_more_calls_than_there_are(
    ask: Asker, events: list[Event], code: str, depth: int
) -> None:
    nodes = [code, code, "FINAL(1)"] if depth == 0 else ["rlm_query('q', 'x')", code, "FINAL(1)"]
    began = time.monotonic()
    answer = ask(by_depth(*nodes), lambda request: "y", sub_calls=9, wall_seconds=20.0)
    assert answer.stop is StopReason.SUB_CALLS, answer.message
    assert time.monotonic() - began < 15
    plain = sum(len(event.prompts) for event in events if isinstance(event, SubCalled))
    children = sum(isinstance(event, NodeStarted) for event in events)
    assert plain + children <= answer.usage.sub_calls <= 9


@pytest.mark.parametrize("code", PAST_THE_CLOCK.values(), ids=PAST_THE_CLOCK)
@pytest.mark.parametrize("depth", [0, 1], ids=["root", "child"])
def test_no_code_outlasts_the_clock(ask: Asker, code: str, depth: int) -> None:
    nodes = [code] if depth == 0 else ["rlm_query('q', 'x')", code]
    began = time.monotonic()
    answer = ask(model=Waiting(by_depth(*nodes)), wall_seconds=0.4)
    assert answer.stop is StopReason.WALL_CLOCK, answer.message
    assert time.monotonic() - began < 8  # how far beyond is measured, not tested: bench/tree.py


@pytest.mark.parametrize(
    "code",
    [
        "import threading\nthreading.Thread(target=print).start()",
        "import _thread\n_thread.start_new_thread(print, ())",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor() as pool: list(pool.map(llm_query, ['a', 'b']))",
        "import threading\nthreading.Timer(1, print).start()",
    ],
)
def test_there_are_no_threads_and_the_error_says_what_to_use(ask: Asker, code: str) -> None:
    turns = iter([code, "FINAL('went on')"])
    answer = ask(lambda request: cell(next(turns)))
    assert answer.text == "went on"
    assert "llm_query_batched" in ask.model.requests[-1].messages[-1].content


def test_a_signal_handler_does_not_outlive_its_cell(ask: Asker) -> None:
    """Else the soft interrupt of a later cell would be lost, and its variables with it."""
    turns = iter(
        [
            "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
            "x = 5\nwhile True: pass",
            "FINAL(x)",
        ]
    )
    assert ask(lambda request: cell(next(turns)), cell_seconds=0.3).text == "5"


def test_a_child_cannot_end_its_parent(ask: Asker) -> None:
    """FINAL, exit and abort in a child are the child's."""
    turns = {
        "final": "FINAL('mine')",
        "exit": "import sys\nsys.exit(3)",
        "abort": "import os; os.abort()",
    }

    def script(request: Request) -> str:
        if not request.depth:
            return cell(
                "x = []\n"
                "for name in ('final', 'exit', 'abort'):\n"
                "    try: x.append(rlm_query(name, 'x'))\n"
                "    except RuntimeError: x.append('failed')\n"
                "FINAL(x)"
            )
        return cell(turns[request.messages[1].content.rpartition("Question: ")[2]])

    assert ask(script, turns=2).text == "['mine', 'failed', 'failed']"


def test_a_limit_cannot_be_raised_from_inside(ask: Asker) -> None:
    code = "FINAL(rlm_query('q', 'x', budget={}))"
    for budget in ("2", "1e9", "[1]", "'1'", "-1"):
        answer = ask(by_depth(f"try: {code.format(budget)}\nexcept ValueError as e: FINAL(e)"))
        assert "a share above 0 and at most 1" in answer.text


def test_more_depth_cannot_be_had_from_inside(ask: Asker, events: list[Event]) -> None:
    """The host says what is a child and what a plain call; functions for children are called
    where there can be none."""
    code = (
        "import _rlm, json\n"
        'said = _rlm.call(b\'{"name": "rlm_query", "arguments": [["q", "x"], null]}\')\n'
        "FINAL(json.loads(said))"
    )
    answer = ask(by_depth(code), lambda request: "plain", depth=1)
    assert answer.text == "{'ok': [{'text': 'plain'}]}"
    answer = ask(by_depth(code), lambda request: "plain", depth=0)
    assert "NameError" in answer.text
    assert not any(isinstance(event, NodeStarted) for event in events)
