"""Every error this package raises on purpose, in one tree.

    RlmError
    ├── UsageError                 what was asked for cannot be done as asked      exit 2
    │   ├── ConfigError            an unknown key, a limit out of range
    │   ├── PromptError            a prompt that cannot be read or is not text
    │   ├── PackageError           a wheel that is damaged, or that the sandbox cannot take
    │   └── RunError               a run record that is missing or damaged
    ├── LimitReached               a limit of the run was hit; carries `stop`      exit 3
    ├── ModelError                 the model cannot be loaded or used              exit 4
    │   ├── ModelFileError         the GGUF file is missing, cut short or invalid
    │   │   └── AdapterError       a LoRA adapter that cannot be used, or not with this model
    │   ├── ModelMemoryError       the model does not fit the memory limit
    │   ├── DraftError             a draft model with other tokens than the model's
    │   ├── RequestError           a request of a batch that cannot be done as asked
    │   │   ├── WindowError        a prompt does not fit the model's window
    │   │   └── FormError          a schema, grammar or list of choices that cannot be kept to
    │   ├── WorkerDied             the process that held the weights is gone
    │   └── NoTimeLeft             a server's next attempt would come after the deadline
    ├── SandboxError               the WebAssembly Python cannot start or go on    exit 5
    │   ├── GuestMissing           the guest module is not built or not found
    │   ├── AddressSpaceError      a text does not fit the guest's 4 GiB
    │   └── GuestTrapped           the guest was stopped for good (abort, stack, hard deadline)
    └── DiskError                  a file of a run cannot be written               exit 1

A message says what happened, with the figure and the limit; `hint` says what
to try. An exception that the *guest's* code raised is not here: it is data, in
`records.GuestError`, for the model to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rlm_local.records import ROOT, Completion, StopReason


class RlmError(Exception):
    """Base of the tree. `str(error)` is one sentence; `hint` what to try, or ''."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(RlmError):
    exit_code = 2


class ConfigError(UsageError):
    pass


class PromptError(UsageError):
    pass


class PackageError(UsageError):
    pass


class RunError(UsageError):
    pass


class LimitReached(RlmError):
    """A limit was hit: the run ends with its best partial answer, or the child `node` does."""

    exit_code = 3

    def __init__(self, stop: StopReason, message: str, *, hint: str = "", node: str = ROOT) -> None:
        super().__init__(message, hint=hint)
        self.stop = stop
        self.node = node


class ModelError(RlmError):
    """`completions`: as far as the requests of a batch had come that failed on its way, one for
    each that the model was asked; empty where nothing was computed."""

    exit_code = 4
    completions: tuple[Completion, ...] = ()


class ModelFileError(ModelError):
    pass


class AdapterError(ModelFileError):
    pass


class ModelMemoryError(ModelError):
    """`least_bytes`: what the model takes of the machine's memory at the least; 0: not known."""

    def __init__(self, message: str, *, hint: str = "", least_bytes: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.least_bytes = least_bytes


class DraftError(ModelError):
    pass


class RequestError(ModelError):
    """`index`: the place of the request in its batch. `others`: the errors of those that cannot
    be done either, as far as that is known."""

    def __init__(self, message: str, *, hint: str = "", index: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.index = index
        self.others: tuple[RequestError, ...] = ()

    @staticmethod
    def of_all(errors: Sequence[RequestError]) -> RequestError:
        """The first of them, which tells of the others."""
        first, *others = errors
        first.others = tuple(others)
        return first


class WindowError(RequestError):
    """A prompt of `tokens` tokens where `fits` fit."""

    def __init__(self, tokens: int, fits: int, *, index: int = 0) -> None:
        super().__init__(
            f"the prompt has {tokens:,} tokens, and {fits:,} fit the model's window",
            hint="split the text and ask about each part",
            index=index,
        )
        self.tokens = tokens
        self.fits = fits


class FormError(RequestError):
    pass


class WorkerDied(ModelError):
    pass


class NoTimeLeft(ModelError):
    pass


class SandboxError(RlmError):
    exit_code = 5


class GuestMissing(SandboxError):
    pass


class AddressSpaceError(SandboxError):
    pass


class GuestTrapped(SandboxError):
    pass


class DiskError(RlmError):
    pass
