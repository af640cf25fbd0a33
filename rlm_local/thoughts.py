"""Thoughts: what some models write between marks before they answer.

They belong to nobody but the model. So they are told apart from the reply as it
grows: no fence in them ends it, no code in them runs, and no later turn sees them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Marks(NamedTuple):
    """What stands before a thought, and after it."""

    begin: str
    end: str


#: Of the published families: Qwen, DeepSeek, GLM and most others; Mistral; Seed; Cohere.
KNOWN = (
    Marks("<think>", "</think>"),
    Marks("[THINK]", "[/THINK]"),
    Marks("<seed:think>", "</seed:think>"),
    Marks("<|START_THINKING|>", "<|END_THINKING|>"),
)


def marks_of(template: str, specials: Iterable[str]) -> Marks | None:
    """The marks of a model with this chat template and these special tokens, if it thinks."""
    spelled = set(specials)
    for marks in KNOWN:
        if any(mark in template for mark in marks) or spelled.issuperset(marks):
            return marks
    return None


class Thoughts:
    """Takes a reply's text as it comes, and gives on what is not a thought.

    Thoughts come first, with nothing but whitespace before and between them; marks
    further on are text. `opened`: the first has begun already, in the prompt. A
    beginning that may yet become a mark is held back.
    """

    def __init__(self, marks: Marks, *, opened: bool = False) -> None:
        self._marks = marks
        self._held = ""
        self._over = False
        self.thinking = opened
        #: All that stood before the reply: thoughts, their marks, whitespace.
        self.text = ""

    @property
    def begun(self) -> bool:
        """Whether there has been a thought."""
        return self.thinking or bool(self.text)

    def feed(self, new: str) -> str:
        """Add text; what of it, and of what was held back, belongs to the reply."""
        if self._over:
            return new
        self._held += new
        while True:
            if self.thinking:
                if not self._take_thought():
                    return ""
                continue
            begins = self._held.lstrip()
            if begins.startswith(self._marks.begin):
                self._take(len(self._held) - len(begins) + len(self._marks.begin))
                self.thinking = True
            elif self._marks.begin.startswith(begins):  # or nothing but whitespace
                return ""
            else:
                return self.finish()

    def finish(self) -> str:
        """No more comes, or no more thoughts: what was held back that is of the reply."""
        if self.thinking:
            self._take(len(self._held))
        elif self.text:  # what parts the thought from the reply is not of the reply
            self._take(len(self._held) - len(self._held.lstrip()))
        self._over = True
        rest, self._held = self._held, ""
        return rest

    def _take_thought(self) -> bool:
        """Take what is held into the thought, as far as it goes; True if that has ended."""
        end = self._marks.end
        at = self._held.find(end)
        if at < 0:
            # Only what may begin the mark is looked at again.
            self._take(max(0, len(self._held) - len(end) + 1))
            return False
        self._take(at + len(end))
        self.thinking = False
        return True

    def _take(self, count: int) -> None:
        self.text += self._held[:count]
        self._held = self._held[count:]
