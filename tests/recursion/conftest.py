"""Runs with a scripted model and the real sandbox, over a text of some length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlm_local import controller
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.prompt import prompt_from_text, prompt_from_texts
from rlm_local.records import Answer, Event, Request
from rlm_local.wasm import WasmSandbox

TEXT = "".join(f"line {number} of the text\n" for number in range(1000))

Script = Callable[[Request], str] | Sequence[str]


def cell(code: str) -> str:
    """A turn that runs `code`."""
    return f"I look.\n```repl\n{code}\n```\n"


def by_depth(*codes: str) -> Callable[[Request], str]:
    """A script in which every node at depth n runs `codes[n]`, turn after turn."""
    return lambda request: cell(codes[request.depth])


def question_of(request: Request) -> str:
    """What the node was asked that this turn is of."""
    return request.messages[1].content.rpartition("Question: ")[2]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[WasmSandbox]:
    with WasmSandbox() as made:
        yield made


@pytest.fixture
def events() -> list[Event]:
    return []


class Asker:
    """Asks a question. `spools` is where prompts lie."""

    def __init__(self, sandbox: WasmSandbox, events: list[Event], spools: Path) -> None:
        self.sandbox = sandbox
        self.events = events
        self.spools = spools
        self.model = ScriptedModel()

    def __call__(
        self,
        turns: Script = (),
        replies: Script = lambda request: request.messages[0].content.upper(),  # type: ignore[assignment]
        /,
        *,
        context: str | list[str] = TEXT,
        model: ScriptedModel | None = None,
        record: Callable[[Event], None] | None = None,
        **limits: Any,
    ) -> Answer:
        self.model = model or ScriptedModel(turns, replies)
        make: Any = prompt_from_text if isinstance(context, str) else prompt_from_texts
        with make(context, folder=self.spools) as prompt:
            return controller.answer(
                "the question",
                prompt,
                model=self.model,
                sandbox=self.sandbox,
                limits=Limits(**{"depth": 3, **limits}),
                run_id="test",
                record=record or self.events.append,
                mode="rlm",
            )


@pytest.fixture
def ask(sandbox: WasmSandbox, events: list[Event], tmp_path: Path) -> Asker:
    return Asker(sandbox, events, tmp_path)
