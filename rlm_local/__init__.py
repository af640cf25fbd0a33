"""A local-first runtime for Recursive Language Models.

    >>> import rlm_local
    >>> answer = rlm_local.ask("What is the code?", Path("book.txt"))  # doctest: +SKIP
    >>> answer.text, answer.stop  # doctest: +SKIP
    ('8402915', <StopReason.ANSWERED: 'answered'>)

The names below are imported when they are first used: the command line and the
model's worker process start from this package, and should start at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlm_local.errors import RlmError as RlmError
    from rlm_local.limits import Limits as Limits
    from rlm_local.options import ModelOptions as ModelOptions
    from rlm_local.records import Answer as Answer
    from rlm_local.records import Event as Event
    from rlm_local.records import StopReason as StopReason
    from rlm_local.runtime import Runtime as Runtime
    from rlm_local.runtime import ask as ask

__all__ = ["Answer", "Event", "Limits", "ModelOptions", "RlmError", "Runtime", "StopReason", "ask"]

_HOMES = {
    "Answer": "records",
    "Event": "records",
    "Limits": "limits",
    "ModelOptions": "options",
    "RlmError": "errors",
    "Runtime": "runtime",
    "StopReason": "records",
    "ask": "runtime",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
