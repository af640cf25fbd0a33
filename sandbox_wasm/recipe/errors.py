"""What the build can fail with: one sentence, and what to try."""

from __future__ import annotations


class BuildError(Exception):
    """The guest cannot be built here. `str(error)` says why; `hint` what to try."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
