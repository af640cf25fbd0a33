"""What is closed when the `with` block that it is used in ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """Base of what has a `close` and is its own context manager."""

    def close(self) -> None:
        """Release what is held. Closing twice is harmless."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
