"""A run to be killed: every kind of call, three levels deep, and a model that keeps accounts.

    python -m tests.durable ask|resume DATA PROMPT [RUN]

runs or resumes it as a process of its own, and prints its answer as JSON.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from rlm_local import rerun
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.records import Answer, Completion, Event, Request
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime
from rlm_local.sandbox import Sandbox

LIMITS = Limits(depth=3, wall_seconds=300.0)
QUESTION = "what do the lines say?"
TEXT = "".join(f"line {number}: value {number * 7 % 101}\n" for number in range(400))

ROOT_CELLS = [
    "import random, time\nlines = context.splitlines()\nprint(len(lines), random.random())",
    "label = llm_query('label ' + lines[3])\nprint(label)",
    """labels = llm_query_batched(['label ' + line for line in lines[:5]])
first = submit('aside one')
second = submit('aside two')
while not second.done():
    pass
print(labels, second.result(), time.time())""",
    "try:\n    llm_query(7)\nexcept TypeError as error:\n    print(error)",
    """parts = ['\\n'.join(lines[start:start + 20]) for start in (0, 20, 40)]
told = rlm_query_batched([('sum the values', part) for part in parts])
print(told, first.result(), random.random())""",
    "print(rlm_query('count the lines', context))\ntotal = sum(map(int, told))",
    "FINAL(f'{total} {label} {labels[2]} {first.result()} {random.random()}')",
]
CHILD_CELLS = [
    "numbers = [int(line.split()[-1]) for line in context.splitlines()]\nprint(sum(numbers))",
    "note = llm_query(f'check {sum(numbers)}')\nprint(note)",
    """if len(numbers) > 20:
    FINAL(len(numbers))
else:
    deep = rlm_query('the largest', ' '.join(map(str, numbers)))
    print(deep)""",
    "FINAL(sum(numbers) + int(deep))",
]
GRANDCHILD_CELLS = [
    "FINAL(max(map(int, context.split())))",
]


class AccountingModel(ScriptedModel):
    """Says the same at the same place of the tree, and writes down what it is asked.

    `paid` gets a line for each completion before it is handed over, which takes
    `seconds`.
    """

    def __init__(
        self, paid: Callable[[str], None] = lambda line: None, *, seconds: float = 0.0
    ) -> None:
        super().__init__(self._turn, self._sub_call, context_tokens=8_000)
        self._paid = paid
        self._seconds = seconds

    def _complete(self, request: Request) -> Completion:
        time.sleep(self._seconds)
        return super()._complete(request)

    def _turn(self, request: Request) -> str:
        cells = [ROOT_CELLS, CHILD_CELLS, GRANDCHILD_CELLS][request.depth]
        self._paid(f"turn {request.node} {request.turn}")
        return f"I go on.\n```repl\n{cells[request.turn - 1]}\n```\n"

    def _sub_call(self, request: Request) -> str:
        prompt = request.messages[-1].content
        self._paid(f"call {request.node} {request.call} {prompt}")
        return f"<{prompt.upper()}>"


class Ledger:
    """What was paid for, in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        with self._lock:
            os.write(self._file, f"{line}\n".encode())


def ask(
    store: RunStore,
    prompt: Path,
    sandbox: Sandbox | None = None,
    *,
    model: ScriptedModel | None = None,
    on_event: Callable[[Event], None] | None = None,
    limits: Limits = LIMITS,
) -> Answer:
    """Run it."""
    with Runtime(
        model=model or AccountingModel(), sandbox=sandbox, store=store, limits=limits
    ) as runtime:
        return runtime.ask(QUESTION, prompt, mode="rlm", seed=7, on_event=on_event)


def resume(
    store: RunStore,
    run_id: str,
    sandbox: Sandbox | None = None,
    *,
    model: ScriptedModel | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Answer:
    """Go on with it."""
    with Runtime(model=model or AccountingModel(), sandbox=sandbox, store=store) as runtime:
        return rerun.resume(runtime, run_id, on_event=on_event)


def main(command: str, data: str, prompt: str, run_id: str = "") -> None:
    store = RunStore(Path(data) / "runs")
    # Slow enough for a kill to find it anywhere.
    model = AccountingModel(Ledger(Path(data) / "paid"), seconds=0.005)
    if command == "ask":
        answer = ask(store, Path(prompt), model=model)
    else:
        answer = resume(store, run_id, model=model)
    print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
