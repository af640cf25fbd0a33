"""Where tasks of all families are played: the real sandbox, with who answers its calls."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from models.nano import programs
from models.nano.cells.profile import PROFILE
from models.nano.cells.table import TABLE
from models.nano.cells.walk import WALK
from models.nano.families.task import Task, score
from models.nano.stage import SandboxStage, first_messages
from rlm_local import dialogue
from rlm_local.limits import MIB
from rlm_local.records import Message, Observation
from rlm_local.sandbox import GuestText, Repl

#: How often a dialogue has an attempt that goes wrong, and its correction: a program of another
#: kind of question, or an ending that there is not.
MISSTEPS = 0.08
#: Programs that do no harm to those after them, and ask nobody anything.
_ASTRAY = (programs.LOCATE, TABLE, WALK)
#: What a careless model might try: none of it is there.
_MISTAKES = (
    "FINAL(result)",
    "FINAL(answer())",
    'FINAL(rank("sum")[0])',
    "FINAL(path.last)",
    'FINAL(nearest("date")[1])',
    'FINAL(table["count"])',
)


@dataclass(frozen=True)
class Turn:
    """A message of a dialogue. `learn`: it is a turn to be learned. `constant`: it is the
    same in every dialogue that has it."""

    message: Message
    learn: bool = False
    constant: bool = False


@dataclass
class Episode:
    """A finished dialogue, what it cost, and how right it was. `calls`: the sub-calls with
    their replies; `children`: the dialogues of `rlm_query`."""

    task: Task
    turns: list[Turn]
    answer: str = ""
    score: float = 0.0
    errors: int = 0
    seconds: float = 0.0
    calls: list[tuple[str, str]] = field(default_factory=list)
    children: list[Episode] = field(default_factory=list)


class Stage(SandboxStage):
    """Plays one task after the other in the same sandbox."""

    def play(self, task: Task, *, missteps: float = MISSTEPS) -> Episode:
        """The profile and then the task's own plan, as they go in the sandbox."""
        rng = random.Random(task.seed)
        misstep = rng.choice(("program", "ending")) if rng.random() < missteps else None
        episode = Episode(task, [])
        host = _Host(self, task, episode)
        with (
            self.prompt(task) as prompt,
            self._sandbox.repl(
                prompt,
                question=task.question,
                host=host,
                functions=host.NAMES,
                memory_bytes=512 * MIB,
                output_chars=20_000,
            ) as repl,
        ):
            for message in first_messages(task.question, prompt):
                episode.turns.append(Turn(message))
            self._turn(episode, repl, PROFILE, constant=True)
            if misstep == "program":
                others = [cell for cell in _ASTRAY if cell not in task.plan]
                self._turn(episode, repl, rng.choice(others), learn=False, constant=True)
            for cell in task.plan[:-1]:
                self._turn(episode, repl, cell, constant=True)
            if misstep == "ending":
                self._turn(episode, repl, rng.choice(_MISTAKES), learn=False)
            self._turn(episode, repl, task.plan[-1])
        del episode.turns[-1]  # what the last cell printed, nobody reads
        episode.answer = host.answer or ""
        if host.answer is not None:
            episode.score = score(episode.answer, task.gold, task.match)
        return episode

    def _turn(
        self, episode: Episode, repl: Repl, cell: str, *, learn: bool = True, constant: bool = False
    ) -> None:
        ran = execute(repl, cell)
        shown = dialogue.observation(dialogue.profile_of("nano"), ran, 4_000)
        said = Message("assistant", programs.turn(cell))
        episode.turns += [Turn(said, learn, constant), Turn(Message("user", shown))]
        episode.errors += learn and ran.error is not None
        episode.seconds += ran.seconds


class _Host:
    """Takes the answer, and answers the calls: as the task knows, or by a child's own play."""

    NAMES = ("llm_query", "llm_query_batched", "rlm_query", "rlm_query_batched")

    def __init__(self, stage: Stage, task: Task, episode: Episode) -> None:
        self.answer: str | None = None
        self._stage = stage
        self._task = task
        self._episode = episode

    def __call__(self, name: str, arguments: list[object]) -> object:
        match name, arguments:
            case "final", [text, *_]:
                self.answer = (self.answer or "") + str(text)
                return None
            case "llm_query", [prompt, *_]:
                return self._reply(prompt)
            case "llm_query_batched", [list() as prompts, *_]:
                return [self._reply(prompt) for prompt in prompts]
            case "rlm_query", [[question, context], _]:
                return [{"text": self._child(question, context)}]
            case _:
                raise TypeError(f"no teacher answers {name} with {len(arguments)} arguments")

    def _reply(self, prompt: object) -> str:
        text = _text(prompt)
        reply = self._task.reply(text) if self._task.reply else ""
        self._episode.calls.append((text, reply))
        return reply

    def _child(self, question: object, context: object) -> str:
        child = self._task.child
        if child is None:
            raise TypeError("this task has no child")
        parts: Sequence[object] = context if isinstance(context, list) else [context]
        asked, texts = _text(question), tuple(_text(part) for part in parts)
        if texts != child.texts or not asked.endswith(child.question):
            return ""  # not what was meant: no answer, and so no score
        episode = self._stage.play(replace(child, question=asked))
        self._episode.children.append(episode)
        return episode.answer


def _text(value: object) -> str:
    return value.read() if isinstance(value, GuestText) else str(value)


def execute(repl: Repl, cell: str) -> Observation:
    """Run one cell with time enough for the longest texts."""
    return repl.execute(cell, deadline=time.monotonic() + 240, cell_seconds=120)
