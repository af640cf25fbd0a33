"""From tokens to text: bytes that end inside a character wait for the next token."""

from __future__ import annotations

import codecs

from rlm_local.fences import end_of_block
from rlm_local.thoughts import Thoughts


class TextStream:
    """The text of one reply as it grows, and whether it has come to its end.

    `fence`: the text ends with its first closed runnable block. `stops`: texts
    before which it ends. `thoughts` are told apart from it, if the model has any;
    `thought_tokens` counts what they took. `begun`: what there is of the reply already.
    Bytes that are not UTF-8 become U+FFFD.
    """

    def __init__(
        self,
        *,
        fence: bool,
        stops: tuple[str, ...] = (),
        thoughts: Thoughts | None = None,
        begun: str = "",
    ) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fence = fence
        self._stops = stops
        self._thoughts = thoughts
        self.text = thoughts.feed(begun) if thoughts else begun
        self.thought_tokens = 0

    @property
    def thinking(self) -> bool:
        return self._thoughts is not None and self._thoughts.thinking

    @property
    def thought(self) -> str:
        """What stood before the text, marks included."""
        return self._thoughts.text if self._thoughts else ""

    def feed(self, piece: bytes) -> bool:
        """Add a token's bytes; True if the text has reached its end."""
        new = self._decoder.decode(piece)
        if self._thoughts is not None:
            new = self._thoughts.feed(new)
            if not new and not self.text and self._thoughts.begun:
                self.thought_tokens += 1
        return self._add(new)

    def _add(self, new: str) -> bool:
        self.text += new
        if not new:
            return False
        # A block can only be closed by a backtick: other tokens cost no search.
        if self._fence and "`" in new and (end := end_of_block(self.text)) is not None:
            self.text = self.text[:end]
            return True
        for stop in self._stops:
            at = self.text.find(stop, max(0, len(self.text) - len(new) - len(stop)))
            if at >= 0:
                self.text = self.text[:at]
                return True
        return False

    def finish(self) -> str:
        """The text, with U+FFFD for a character that was cut off."""
        rest = self._decoder.decode(b"", final=True)
        if self._thoughts is not None:
            rest = self._thoughts.feed(rest) + self._thoughts.finish()
        self.text += rest
        return self.text
