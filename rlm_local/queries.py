"""What the guest's code asks of a child: a question, and a context of its own.

A context is texts from the guest, or the parent's own prompt, or documents of that. The
first are spooled, so that the child maps them; the others cost nothing at any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from rlm_local import dialogue
from rlm_local.errors import PromptError
from rlm_local.part import Part
from rlm_local.prompt import Prompt, prompt_from_text, prompt_from_texts
from rlm_local.sandbox import GuestRaise, GuestText, PartOfContext, WholeContext

Text = str | GuestText

#: A prompt without a context of its own is the child's question too, up to this length.
QUESTION_CHARS = 2_000
#: Longer texts are spooled piece by piece, so that the host never holds a second copy.
WHOLE_CHARS = 1 << 22
#: Each is a file to open.
BEGINNING_DOCUMENTS = 100
#: No tokenizer packs more characters of prose into a token, on the average. Some have longer
#: tokens, for runs of spaces or dashes, and rlm-nano for lines of programs: a text of little
#: else than those is taken for longer than it is.
MOST_CHARS_PER_TOKEN = 16


class ChildContext:
    """The context of a child that is still to be made."""

    def __init__(
        self, texts: dict[str, Text] | None, *, single: bool, part: PartOfContext | None = None
    ) -> None:
        """`texts`: by name, or None for the parent's prompt, or for `part` of that."""
        self._texts = texts
        self._single = single
        self._part = part

    @classmethod
    def of(cls, value: object) -> ChildContext:
        """What the guest gave: a str, a list of str, or a dict of str. Raises GuestRaise."""
        match value:
            case WholeContext():
                return cls(None, single=False)
            case PartOfContext():
                return cls(None, single=False, part=value)
            case str() | GuestText():
                return cls({"text": value}, single=True)
            case list():
                named = {f"text {number}": text for number, text in enumerate(value, 1)}
                return cls(_all_texts(named), single=False)
            case dict():
                return cls(_all_texts(value), single=False)
        raise GuestRaise(
            "TypeError", "a context is a str, a list of str, or a dict from names to str"
        )

    def chars(self, parent: Prompt) -> int:
        """Its length in characters."""
        if self._texts is None:
            return self._of(parent).chars
        return sum(map(length, self._texts.values()))

    def as_text(self, parent: Prompt) -> str:
        """All of it as one text, documents under their names."""
        if self._texts is None:
            return whole_text(self._of(parent))
        if self._single:
            return text_of(*self._texts.values())
        return _joined(self._texts.items())

    def fetch(self) -> None:
        """Take the texts out of the guest's memory."""
        if self._texts is not None:
            self._texts = {name: text_of(text) for name, text in self._texts.items()}

    @contextmanager
    def opened(self, parent: Prompt, spools: Path | None) -> Iterator[Prompt]:
        """The child's prompt. Its spool is gone afterwards. Raises GuestRaise."""
        if self._texts is None:
            yield self._of(parent)
            return
        try:
            prompt = self._spooled(spools)
        except PromptError as error:
            raise GuestRaise("ValueError", str(error)) from error
        with prompt:
            yield prompt

    def _of(self, parent: Prompt) -> Prompt:
        """What it is of the parent's prompt. Raises GuestRaise."""
        if self._part is None:
            return parent
        try:
            return Part(parent, *self._part)
        except PromptError as error:
            raise GuestRaise("ValueError", str(error)) from error

    def _spooled(self, spools: Path | None) -> Prompt:
        texts = {name: _for_spool(text) for name, text in (self._texts or {}).items()}
        if self._single:
            return prompt_from_text(texts["text"], bad_bytes="replace", folder=spools)
        return prompt_from_texts(texts, bad_bytes="replace", folder=spools)


class Query:
    """One call of `rlm_query`: with a context, or with a prompt that is both."""

    def __init__(self, prompt: Text, context: ChildContext | None = None) -> None:
        self._prompt = prompt
        self._alone = context is None
        self.context = context if context is not None else ChildContext.of(prompt)

    @property
    def question(self) -> str:
        """What the child is asked. A long prompt is only pointed to: it is the context."""
        if self._alone and length(self._prompt) > QUESTION_CHARS:
            return dialogue.DO_AS_CONTEXT_SAYS
        return text_of(self._prompt)

    def fetch(self) -> None:
        """Take all texts out of the guest's memory, which will not keep them."""
        self._prompt = text_of(self._prompt)
        self.context.fetch()

    def chars(self, parent: Prompt) -> int:
        """Characters of the plain call that it becomes where no child is allowed."""
        return (0 if self._alone else length(self._prompt)) + self.context.chars(parent)

    def as_call(self, parent: Prompt) -> str:
        """The plain prompt that it becomes there."""
        if self._alone:
            return text_of(self._prompt)
        return dialogue.child_as_call(text_of(self._prompt), self.context.as_text(parent))


def length(text: Text) -> int:
    """In characters, without reading it."""
    return len(text) if isinstance(text, str) else text.chars


def text_of(text: Text) -> str:
    """The text itself. Raises GuestRaise if the guest's memory does not hold it."""
    return text if isinstance(text, str) else text.read()


def _for_spool(text: Text) -> str | Iterator[str]:
    if isinstance(text, str):
        return text
    return text.read() if text.chars <= WHOLE_CHARS else text.pieces()


def whole_text(prompt: Prompt) -> str:
    """All of a short prompt, its documents under their names."""
    if prompt.single:
        return prompt.read(0)
    # Not by name: several documents may have one.
    return _joined((d.name, prompt.read(number)) for number, d in enumerate(prompt.documents))


def beginning(prompt: Prompt, chars: int) -> str:
    """About the first `chars` characters of a prompt: of its first documents with text in them,
    as many as it takes, but no more than `BEGINNING_DOCUMENTS`."""
    with_text = (number for number, document in enumerate(prompt.documents) if document.chars)
    text = ""
    for number in islice(with_text, BEGINNING_DOCUMENTS):
        text += prompt.read(number, 0, chars - len(text))
        if len(text) >= chars:
            break
    return text


def _joined(texts: Iterable[tuple[str, Text]]) -> str:
    return "\n\n".join(f"[{name}]\n{text_of(text)}" for name, text in texts)


def _all_texts(texts: dict[str, object]) -> dict[str, Text]:
    checked: dict[str, Text] = {}
    for name, text in texts.items():
        if not isinstance(text, str | GuestText):
            raise GuestRaise("TypeError", f"{name} of a context is no str")
        checked[name] = text
    return checked
