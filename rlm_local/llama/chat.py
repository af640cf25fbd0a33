"""From messages to tokens, through the model's own chat template.

The template comes with the model and is rendered in a sandbox, in bounded time. What it writes may
hold special tokens; what the messages hold may not: a document that contains
`<|im_end|>` must not end the user's turn. So every special token's spelling inside
a message is broken by a marker before the template sees it. The rendered text is
cut at the spellings that are left, which are the template's own; markers are then
taken out, and the stretches between are tokenized as plain text.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jinja2
import jinja2.sandbox
import numpy as np

from rlm_local.errors import ModelError
from rlm_local.llama.engine import Tokens, Vocabulary, common_prefix
from rlm_local.llama.modelfile import Special
from rlm_local.llama.timer import OvertimeError, cpu_limit
from rlm_local.records import Message
from rlm_local.thoughts import marks_of

# For models without a template. Plain text, so the model's own habit of going on
# as the user must be stopped by text.
PLAIN_TEMPLATE = (
    "{% for message in messages %}### {{ message.role | capitalize }}:\n"
    "{{ message.content }}\n\n{% endfor %}{{ '### Assistant:\n' }}"
)
PLAIN_STOPS = ("\n### User:", "\n### System:")
# Code points that Unicode reserves for internal use: no text should hold them.
_MARKERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
_MARKER_CHARS = 8  # of one made up of several
_LOOKS_STRUCTURAL = re.compile(r"<\|.*\|>|</?s>|\[/?INST\]|<(start|end)_of_turn>")
TEMPLATE_SECONDS = 3.0  # of CPU time, for one prompt: templates take milliseconds
_CACHED_STRETCHES = 512
_CACHED_CHARS = 8_000_000  # of them together, but for the last one
_CACHED_SYSTEMS = 64
# What rendering an untrusted template can raise, beside jinja's own errors.
_TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


class ChatFormat(NamedTuple):
    """What a model file says of its chats. `template`: Jinja, or '' for none."""

    template: str
    specials: tuple[Special, ...]
    bos: int | None
    eos: int


class Chat:
    """Turns the messages of a request into the tokens of a prompt."""

    def __init__(self, vocabulary: Vocabulary, how: ChatFormat) -> None:
        self._vocabulary = vocabulary
        # A mark of one letter cannot be told from text.
        self._specials = {special.text: special for special in how.specials if special.text[1:]}
        self._users = [s.text for s in self._specials.values() if s.kind == "user"]
        self._marks = {
            "bos_token": _spelled(how.specials, how.bos),
            "eos_token": _spelled(how.specials, how.eos),
        }
        self.stops = () if how.template else PLAIN_STOPS
        self._template = _compiled(how.template or PLAIN_TEMPLATE)
        always, in_template = [], []
        for special in self._specials.values():
            structural = special.kind == "control" or _LOOKS_STRUCTURAL.fullmatch(special.text)
            if structural or vocabulary.ends(special.id):
                always.append(special.text)
            elif special.text in how.template:
                in_template.append(special.text)
        self._any_special = _any_of([*always, *in_template])
        self._forbidden = _start_of_any([*always, *in_template])
        # A model's own turns may hold its lesser marks (<think>): templates look for them.
        self._forbidden_in_reply = _start_of_any(always)
        self.thought_marks = marks_of(how.template, self._specials)
        # Marks that are tokens by themselves; others are written in letters.
        self._mark_tokens = {
            mark: self._specials[mark].id
            for mark in self.thought_marks or ()
            if mark in self._specials
        }
        self._opens_thought: dict[bool, bool] = {}
        self._stretches: dict[str, Tokens] = {}
        self._stretches_chars = 0
        self._system_lengths: dict[tuple[str, bool], int] = {}

    def tokens(
        self, messages: Sequence[Message], *, thinking: bool = False, begun: str = ""
    ) -> Tokens:
        """The prompt for the reply to `messages`, or for the rest of one that has `begun`.

        `thinking`: whether a model that can is to think first. Raises ModelError.
        """
        tokens = self._prompt(messages, thinking)
        if not thinking and self.opens_thought(thinking=False):
            tokens = np.concatenate([tokens, self.closing])
        if begun:
            tokens = np.concatenate([tokens, self._of_model(begun)])
        return tokens

    def opens_thought(self, *, thinking: bool) -> bool:
        """Whether the template itself begins a thought, told so or not to think."""
        if self.thought_marks is None:
            return False
        if thinking not in self._opens_thought:
            try:
                rendered = self._render([{"role": "user", "content": "a"}], thinking)
            except ModelError:  # on messages that are wanted, it says so itself
                rendered = ""
            self._opens_thought[thinking] = rendered.rstrip().endswith(self.thought_marks.begin)
        return self._opens_thought[thinking]

    @property
    def closing(self) -> Tokens:
        """What ends a thought, for a model that has thoughts."""
        return self._of_model(f"\n{self.thought_marks.end}\n\n" if self.thought_marks else "")

    def _of_model(self, text: str) -> Tokens:
        """Tokens of what a model writes, where the marks of thoughts may be special ones."""
        marks = _any_of(list(self._mark_tokens))
        if marks is None:
            return self._vocabulary.tokenize(text)
        parts = [np.empty(0, np.int32)]
        for part in re.split(f"({marks.pattern})", text):
            if part in self._mark_tokens:
                parts.append(np.array([self._mark_tokens[part]], np.int32))
            elif part:
                parts.append(self._vocabulary.tokenize(part))
        return np.concatenate(parts)

    def _prompt(self, messages: Sequence[Message], thinking: bool) -> Tokens:
        marker = _unused_marker(messages)
        broken = [
            {"role": message.role, "content": self._broken(message, marker)} for message in messages
        ]
        try:
            rendered = self._render(broken, thinking)
        except ModelError:
            if len(broken) < 2 or broken[0]["role"] != "system":
                raise
            # Some templates take no system message: then it opens the user's.
            system, first, *rest = broken
            opening = f"{system['content']}\n\n{first['content']}"
            rendered = self._render([{"role": first["role"], "content": opening}, *rest], thinking)
        parts = self._parts(rendered, marker)
        tokens = np.concatenate(parts) if parts else np.empty(0, np.int32)
        bos = self._vocabulary.bos
        if bos is not None and (not tokens.size or tokens[0] != bos):
            tokens = np.concatenate([np.array([bos], np.int32), tokens])
        if not tokens.size:
            raise ModelError("the model's chat template made an empty prompt")
        return tokens

    def system_tokens(self, messages: Sequence[Message], *, thinking: bool = False) -> int:
        """How many tokens the prompt for `messages` begins with whatever follows the system
        message; 0 without one."""
        if not messages or messages[0].role != "system":
            return 0
        system = messages[0]
        key = (system.content, thinking)
        length = self._system_lengths.get(key)
        if length is None:
            one, other = (self._prompt([system, Message("user", a)], thinking) for a in "ab")
            length = common_prefix(one, other)
            if len(self._system_lengths) >= _CACHED_SYSTEMS:
                self._system_lengths.clear()
            self._system_lengths[key] = length
        return length

    def _broken(self, message: Message, marker: str) -> str:
        """The message's text, the marker inside every special token's spelling."""
        found = self._forbidden_in_reply if message.role == "assistant" else self._forbidden
        if found is None:
            return message.content
        return found.sub(lambda match: match[0] + marker, message.content)

    def _render(self, messages: list[dict[str, str]], thinking: bool) -> str:
        # The two names by which templates that know of thoughts are told.
        switches = {"enable_thinking": thinking, "thinking": thinking} if self.thought_marks else {}
        try:
            with _in_time():
                return self._template.render(
                    messages=messages, add_generation_prompt=True, **self._marks, **switches
                )
        except _TEMPLATE_ERRORS as error:
            raise ModelError(
                f"the model's chat template failed: {type(error).__name__}: {str(error)[:200]}",
                hint="use another conversion of the model",
            ) from error

    def _parts(self, rendered: str, marker: str) -> list[Tokens]:
        parts: list[Tokens] = []
        position = 0
        strip_next = False
        matches = self._any_special.finditer(rendered) if self._any_special else ()
        for match in [*matches, None]:
            end = match.start() if match else len(rendered)
            stretch = rendered[position:end]
            if strip_next:
                stretch = stretch.lstrip()
            if match:
                special = self._specials[match[0]]
                strip_before, strip_next = self._vocabulary.strips(special.id)
                if strip_before:
                    stretch = stretch.rstrip()
                position = match.end()
            parts.extend(self._plain(stretch, marker))
            if match:
                parts.append(np.array([special.id], np.int32))
        return parts

    def _plain(self, stretch: str, marker: str) -> Iterable[Tokens]:
        """Tokens of `stretch` as text, its markers taken out."""
        # Tokens of kind "user" are read even in plain text: there the marker must
        # stay a border, so that the two halves are tokenized apart.
        whole = stretch.replace(marker, "")
        pieces = [whole]
        if whole != stretch and any(text in whole for text in self._users):
            pieces = stretch.split(marker)
        for piece in pieces:
            if piece:
                yield self._remembered(piece)

    def _remembered(self, stretch: str) -> Tokens:
        """A dialogue's stretches come again every turn, so their tokens are kept."""
        tokens = self._stretches.pop(stretch, None)
        if tokens is None:
            tokens = self._vocabulary.tokenize(stretch)
            self._stretches_chars += len(stretch)
            while self._stretches and (
                len(self._stretches) >= _CACHED_STRETCHES or self._stretches_chars > _CACHED_CHARS
            ):
                oldest = next(iter(self._stretches))
                del self._stretches[oldest]
                self._stretches_chars -= len(oldest)
        self._stretches[stretch] = tokens
        return tokens


def _compiled(source: str) -> jinja2.Template:
    """The template, with what published templates expect of their environment."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = time.strftime
    environment.filters["tojson"] = _to_json
    try:
        with _in_time():  # it reckons what is constant
            return environment.from_string(source)
    except _TEMPLATE_ERRORS as error:
        raise ModelError(
            f"the model's chat template is invalid: {str(error)[:200]}",
            hint="use another conversion of the model",
        ) from error


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    try:
        with cpu_limit(TEMPLATE_SECONDS):
            yield
    except OvertimeError:
        raise ModelError(
            f"the model's chat template did not come to its end within {TEMPLATE_SECONDS:g} s",
            hint="use another conversion of the model",
        ) from None


def _raise(message: str) -> None:
    """What templates call on messages that they do not take."""
    raise jinja2.TemplateError(message)


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _spelled(specials: Iterable[Special], token: int | None) -> str:
    return next((special.text for special in specials if special.id == token), "")


def _any_of(texts: Sequence[str]) -> re.Pattern[str] | None:
    if not texts:
        return None
    return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))))


def _start_of_any(texts: Sequence[str]) -> re.Pattern[str] | None:
    """The first letter of each of `texts`, of two letters at least, wherever it begins:
    overlaps included.

    By that letter: else a search would try all of them, thousands for some models, at
    every letter of a text.
    """
    rests: dict[str, list[str]] = {}
    for text in texts:
        rests.setdefault(text[0], []).append(re.escape(text[1:]))
    if not rests:
        return None
    starts = (f"{re.escape(first)}(?={'|'.join(rest)})" for first, rest in rests.items())
    return re.compile("|".join(starts))


def _unused_marker(messages: Sequence[Message]) -> str:
    for marker in _MARKERS:
        if all(marker not in message.content for message in messages):
            return marker
    # A text that holds all of them was made to. It is short all the same, since it may be
    # put in many times, and no text can have foreseen it.
    while True:
        marker = "".join(map(secrets.choice, [_MARKERS] * _MARKER_CHARS))
        if all(marker not in message.content for message in messages):
            return marker
