"""Why a node or a run ended, as a stop reason and a sentence."""

from __future__ import annotations

from rlm_local.errors import LimitReached, ModelError, RlmError, SandboxError, WindowError
from rlm_local.records import StopReason


class QuestionTooLongError(WindowError):
    """The very first request does not fit: nothing can come of the node."""


def reason(error: RlmError | KeyboardInterrupt | None) -> tuple[StopReason, str]:
    """Why a node ended without an answer, and one sentence on it."""
    match error:
        case LimitReached():
            return error.stop, with_hint(error)
        case QuestionTooLongError():
            return StopReason.WINDOW, str(error)
        case WindowError():
            longer = "raise context_tokens, or use a model with a longer window"
            return StopReason.WINDOW, f"the dialogue outgrew the window: {error}; {longer}"
        case ModelError():
            return StopReason.MODEL, with_hint(error)
        case SandboxError():
            return StopReason.SANDBOX, with_hint(error)
        case RlmError():
            return StopReason.DISK, with_hint(error)
        case _:
            return StopReason.INTERRUPTED, "the run was interrupted"


def with_hint(error: RlmError) -> str:
    """The error as one sentence, with what to try."""
    return f"{error}; {error.hint}" if error.hint else str(error)
