"""One reply as it grows, and where it ends: at its fence, its limit, or where the server says."""

from __future__ import annotations

from typing import Literal

from rlm_local.fences import end_of_block
from rlm_local.remote.wire import Piece, Used

#: No more text is taken than this for each token that a reply may have.
MOST_CHARS_PER_TOKEN = 256

# By OpenAI, and as some servers have it.
_STOPPED = ("stop", "eos_token", "stop_sequence")

Finish = Literal["stop", "length"]


class Reply:
    """The text that has come, for at most `most` tokens. `fence`: it ends with its first block."""

    def __init__(self, most: int, *, fence: bool) -> None:
        self.text = ""
        self.pieces = 0  # with a token at least
        self.used: Used | None = None
        self.finish: Finish | None = None
        self._most = most
        self._fence = fence

    def feed(self, piece: Piece) -> None:
        """Add a piece; `finish` is set once the reply has ended. Raises ValueError."""
        self.used = piece.used or self.used
        if self.finish is not None:  # only the figures may come later
            return
        self.pieces += piece.written
        self.text += piece.text
        # A block can only be closed by a backtick: other pieces cost no search.
        if self._fence and "`" in piece.text and (end := end_of_block(self.text)) is not None:
            self.text = self.text[:end]
            self.finish = "stop"
        elif piece.finish in _STOPPED:
            self.finish = "stop"
        elif piece.finish == "length" or self._too_long():
            self.finish = "length"
        elif piece.finish:
            raise ValueError(f"the server ended the reply with the reason {piece.finish[:40]!r}")

    def _too_long(self) -> bool:
        """Whether the server goes on where it was told to end."""
        return self.pieces > self._most or len(self.text) > MOST_CHARS_PER_TOKEN * self._most
