"""From tokens to text: bytes that end inside a character wait for the next token."""

from __future__ import annotations

import codecs

from rlm_local.fences import end_of_block


class TextStream:
    """The text of one reply as it grows, and whether it has come to its end.

    `fence`: the text ends with its first closed runnable block. `stops`: texts
    before which it ends. Bytes that are not UTF-8 become U+FFFD.
    """

    def __init__(self, *, fence: bool, stops: tuple[str, ...] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fence = fence
        self._stops = stops
        self.text = ""

    def feed(self, piece: bytes) -> bool:
        """Add a token's bytes; True if the text has reached its end."""
        new = self._decoder.decode(piece)
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
        self.text += self._decoder.decode(b"", final=True)
        return self.text
