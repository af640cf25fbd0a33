"""A Recursive Language Model's answer to one question: the root node, and how it ended.

The controller knows no adapter: a `Model` writes turns, a `Sandbox` runs them, a
`Budget` holds every limit, and each event is recorded before the next thing is
done. Whatever ends a run, what was found so far comes back as an `Answer`. The
loop itself is in `node`; `tree` is what all nodes of a run share.
"""

from __future__ import annotations

import contextlib
import time

import msgspec
from msgspec.structs import replace

from rlm_local import dialogue
from rlm_local.budget import Budget
from rlm_local.endings import QuestionTooLongError, with_hint
from rlm_local.errors import DiskError, RlmError, UsageError
from rlm_local.journal import Journal, Recorder
from rlm_local.limits import Limits
from rlm_local.model import Model
from rlm_local.node import Node
from rlm_local.prompt import Prompt
from rlm_local.queries import MOST_CHARS_PER_TOKEN, whole_text
from rlm_local.records import Answer, Mode, RunEnded, RunStarted, StopReason, TurnForm
from rlm_local.sandbox import Sandbox
from rlm_local.syntax import RetryingModel, SyntaxCheck
from rlm_local.tree import Tree

#: A prompt is given to the model directly if it takes at most this share of its window.
DIRECT_SHARE = 0.5


def answer(
    question: str,
    prompt: Prompt,
    *,
    model: Model,
    sub_model: Model | None = None,
    sandbox: Sandbox,
    limits: Limits,
    run_id: str,
    record: Recorder,
    mode: Mode = "auto",
    turn_form: TurnForm = "auto",
    seed: int = 0,
    budget: Budget | None = None,
    journal: Journal | None = None,
) -> Answer:
    """Answer `question` about `prompt`.

    `model` takes the turns of the root and of all children; `sub_model` answers plain
    calls (`llm_query`), by default the same.
    `record` gets each event and returns once it is durable; it is called from
    several threads, one at a time. A limit, a model, a sandbox or a disk that fails for
    good, and Ctrl-C end the run with the best partial answer and its stop reason; so
    does an end that cannot be recorded, with the answer there is.
    `journal` takes the place of `record` where the run has a past or is to have a
    future: checkpoints. `turn_form`: whether a turn must be text and one block of code,
    which "auto" leaves to the model's profile. Raises UsageError if the question itself
    does not fit the model's window (or, in mode "direct", the prompt), and RunError if
    a run that is resumed takes another course than its record.
    """
    check = SyntaxCheck(sandbox, prompt, memory_bytes=limits.guest_memory_bytes)
    tree = Tree(
        model=RetryingModel(model, check, retries=limits.syntax_retries),
        sub_model=model if sub_model is None else sub_model,
        sandbox=sandbox,
        limits=limits,
        journal=journal if journal is not None else Journal(record),
        seed=seed,
        turn_form=turn_form,
        spools=prompt.spools,
    )
    called = tree.sub_model.info.name
    other = "" if called == model.info.name else called
    root = Node(tree, question, prompt, budget or Budget(limits))
    direct_text = _direct_text(prompt, question, model, mode)
    tree.record(
        RunStarted(
            run_id=run_id,
            time=time.time(),
            question=question,
            model=model.info.name,
            mode="rlm" if direct_text is None else "direct",
            prompt=prompt.describe(),
            limits=msgspec.structs.asdict(limits),
            seed=seed,
            turn_form=turn_form,
            sub_model=other,
        )
    )
    error: RlmError | KeyboardInterrupt | None = None
    try:
        if direct_text is None:
            root.run()
        else:
            root.direct(direct_text)
    except (RlmError, KeyboardInterrupt) as raised:
        error = raised
    finally:
        with contextlib.suppress(KeyboardInterrupt):  # again: then nobody waits for what runs
            tree.close(root.budget)
        with contextlib.suppress(KeyboardInterrupt):
            check.close()
    ended = root.ending(error)
    made = Answer(
        text=ended.text,
        stop=ended.stop,
        usage=ended.usage,
        run_id=run_id,
        model=model.info.name,
        message=ended.message,
        sub_model=other,
    )
    end = RunEnded(time=time.time(), answer=made)
    try:
        try:
            tree.record(end)
        except KeyboardInterrupt:  # again
            if not tree.over:
                tree.record(end)
    except DiskError as unwritten:
        made = replace(made, stop=StopReason.DISK, message=with_hint(unwritten))
    if isinstance(error, QuestionTooLongError):
        raise UsageError(str(error), hint=error.hint)
    return made


def _direct_text(prompt: Prompt, question: str, model: Model, mode: Mode) -> str | None:
    """The text to give the model directly, or None where it is to work in the REPL."""
    if mode == "rlm" or (mode == "auto" and not dialogue.profile_of(model.info.profile).direct):
        return None
    most_tokens = model.info.context_tokens * (1.0 if mode == "direct" else DIRECT_SHARE)
    if prompt.chars > most_tokens * MOST_CHARS_PER_TOKEN:
        if mode == "auto":
            return None
        raise UsageError(
            f"the prompt has {prompt.chars:,} characters, too many for a window of "
            f"{model.info.context_tokens:,} tokens",
            hint="use --mode rlm",
        )
    text = whole_text(prompt)
    if mode == "auto" and model.count_tokens(text) + model.count_tokens(question) > most_tokens:
        return None
    return text
