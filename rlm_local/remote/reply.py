"""One reply as it grows, and where it ends: at its fence, its limit, or where the server says."""

from __future__ import annotations

from typing import Literal

from rlm_local.fences import end_of_block
from rlm_local.remote.wire import Piece, Used
from rlm_local.thoughts import KNOWN, Thoughts

#: No more text is taken than this for each token that a reply may have.
MOST_CHARS_PER_TOKEN = 256
# By OpenAI, and as some servers have it.
_STOPPED = ("stop", "eos_token", "stop_sequence")

Finish = Literal["stop", "length"]


class Reply:
    """The text that has come, for at most `most` new tokens. `fence`: it ends with its first block.

    `begun`: what there was of it before. `thought` is what was thought before it, marks
    included, be it that the server tells thoughts apart, which takes their marks, or that
    the text begins with one.
    """

    def __init__(self, most: int, *, fence: bool, begun: str = "") -> None:
        self.pieces = 0  # with a token at least
        self.thought_pieces = 0
        self.used: Used | None = None
        self.finish: Finish | None = None
        self._most = most
        self._most_chars = len(begun) + MOST_CHARS_PER_TOKEN * most
        self._fence = fence
        self._start: str | None = ""  # as long as it may yet be a mark
        self._marked: Thoughts | None = None
        self._thought = ""  # in the text's own marks
        self._told_apart = ""  # by the server
        self.text = self._without_thought(begun, last=False)

    def feed(self, piece: Piece) -> None:
        """Add a piece; `finish` is set once the reply has ended. Raises ValueError."""
        self.used = piece.used or self.used
        if self.finish is not None:  # only the figures may come later
            return
        self.pieces += piece.written
        self._told_apart += piece.thought
        new = self._without_thought(piece.text, last=bool(piece.finish))
        if self._told_apart and not self.text:  # what parts the thought from it is not of it
            new = new.lstrip()
        self.thought_pieces += piece.written and not new and self._has_thought
        self.text += new
        # A block can only be closed by a backtick: other pieces cost no search.
        if self._fence and "`" in new and (end := end_of_block(self.text)) is not None:
            self.text = self.text[:end]
            self.finish = "stop"
        elif piece.finish in _STOPPED:
            self.finish = "stop"
        elif piece.finish == "length" or self._too_long():
            self.finish = "length"
        elif piece.finish:
            raise ValueError(f"the server ended the reply with the reason {piece.finish[:40]!r}")

    def close(self) -> None:
        """No more comes: what was held back is text."""
        self.text += self._without_thought("", last=True)

    @property
    def thought(self) -> str:
        """What stood before the text, marks included; without the last one if it was cut."""
        if not self._told_apart:
            return self._thought
        begin, end = KNOWN[0]
        ending = f"\n{end}\n\n" if self.text else ""
        return f"{self._thought}{begin}\n{self._told_apart.strip()}{ending}"

    @property
    def _has_thought(self) -> bool:
        return bool(self._told_apart) or self._marked is not None

    def _without_thought(self, new: str, *, last: bool) -> str:
        """What of `new`, and of what was held back, belongs to the reply."""
        if self._start is not None:
            self._start += new
            begins = self._start.lstrip()
            marks = next((marks for marks in KNOWN if begins.startswith(marks.begin)), None)
            if marks is None and not last and any(m.begin.startswith(begins) for m in KNOWN):
                return ""
            new, self._start = self._start, None
            if marks is not None:
                self._marked = Thoughts(marks)
        if self._marked is None:
            return new
        before = len(self._marked.text)
        text = self._marked.feed(new)
        if last:
            text += self._marked.finish()
        self._thought += self._marked.text[before:]
        return text

    def _too_long(self) -> bool:
        """Whether the server goes on where it was told to end."""
        return self.pieces > self._most or (
            len(self.text) + len(self._thought) + len(self._told_apart) > self._most_chars
        )
