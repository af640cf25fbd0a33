"""What is asked: the context, in any form that it is given in, and what cannot be asked at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, get_args

from rlm_local.errors import UsageError
from rlm_local.prompt import Prompt, open_prompt, prompt_from_text, prompt_from_texts
from rlm_local.records import Mode, TurnForm
from rlm_local.spool.utf8 import BadBytes

#: A text; several texts, by name or not; files and folders; or a prompt that is open already.
Context = str | Sequence[str] | Mapping[str, str] | Path | Sequence[Path] | Prompt

#: Seeds are below this, and not below its negative.
SEEDS = 1 << 63


def open_context(
    context: Context,
    *,
    stdin: BinaryIO | None = None,
    bad_bytes: BadBytes = "error",
    progress: Callable[[int, int], None] | None = None,
) -> Prompt:
    """Make `context` a prompt; one that is a prompt already comes back.

    The path `-` stands for `stdin`. Raises UsageError, PromptError.
    """
    if isinstance(context, Prompt):
        return context
    if isinstance(context, str):
        return prompt_from_text(context, bad_bytes=bad_bytes)
    if isinstance(context, Path):
        context = [context]
    if isinstance(context, Mapping):
        _refuse_kinds("the context's texts hold", [*context, *context.values()], str)
        return prompt_from_texts(context, bad_bytes=bad_bytes)
    if not isinstance(context, Sequence):
        _refuse_kinds("the context is of the type", [context])
    texts = [item for item in context if isinstance(item, str)]
    paths = [item for item in context if isinstance(item, Path)]
    if len(context) not in (len(texts), len(paths)):
        _refuse_kinds("the context holds", context)
    if texts:
        return prompt_from_texts(texts, bad_bytes=bad_bytes)
    return open_prompt(paths, stdin=stdin, bad_bytes=bad_bytes, progress=progress)


def check_asked(
    question: str, seed: int, *, mode: Mode = "auto", turn_form: TurnForm = "auto"
) -> None:
    """Raise UsageError for what no run can be asked with."""
    for name, value, kind in (("question", question, str), ("seed", seed, int)):
        if not isinstance(value, kind):
            raise UsageError(
                f"the {name} is of the type {type(value).__name__}", hint=f"give {kind.__name__}"
            )
    if not question.strip():
        raise UsageError("the question is empty")
    if not -SEEDS <= seed < SEEDS:
        raise UsageError(
            f"the seed is {seed}, and a seed has 64 bits",
            hint=f"take one from {-SEEDS} to {SEEDS - 1}",
        )
    if mode not in get_args(Mode):
        raise UsageError(f"there is no mode {mode!r}", hint="use auto, direct or rlm")
    if turn_form not in get_args(TurnForm):
        raise UsageError(f"no turn has the form {turn_form!r}", hint="use auto, free or block")


def _refuse_kinds(what: str, items: Iterable[object], *known: type) -> None:
    """Raise UsageError if one of `items` is of no `known` type."""
    kinds = sorted({type(item).__name__ for item in items if not isinstance(item, known)})
    if kinds:
        raise UsageError(
            f"{what} {', '.join(kinds)}",
            hint="give only str, for texts, or only Path, for files; a dict is from name to text",
        )
