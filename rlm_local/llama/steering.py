"""What of a reply is not left to the model.

A thought that is too long is closed, and a turn that would end without its block of
code gets one opened: what is needed is written in place of the token that the model
chose. That costs a look at this token alone. A grammar would look at the whole
vocabulary, at every token, and llama.cpp ends its process on the slightest mistake
with one.
"""

from __future__ import annotations

from rlm_local.fences import TEXT_FINAL, blocks, in_its_place, opened
from rlm_local.llama.engine import Tokens, Vocabulary
from rlm_local.llama.stream import TextStream


class Steering:
    """Goes along with one reply, of which `stream` has the text.

    `thought_tokens`: what its thoughts may take; `closing` are the tokens that end one.
    `text_tokens`: after so many tokens of the reply its block is opened; None: it need
    not have one.
    """

    def __init__(
        self,
        stream: TextStream,
        vocabulary: Vocabulary,
        *,
        thought_tokens: int,
        closing: Tokens,
        text_tokens: int | None = None,
    ) -> None:
        self._stream = stream
        self._vocabulary = vocabulary
        self._thought_tokens = thought_tokens
        self._closing = _numbers(closing)
        self._block = text_tokens is not None
        self._text_left = text_tokens or 0
        self._settled = False  # it has a block, or will do without

    def instead(self, token: int) -> tuple[int, ...]:
        """The tokens to write instead of `token`; () to leave it to the model."""
        stream = self._stream
        ends = self._vocabulary.ends(token)
        if stream.thinking:
            too_long = stream.thought_tokens >= self._thought_tokens
            return self._closing if ends or too_long else ()
        if not self._block:
            return ()
        piece = "" if ends else self._vocabulary.piece(token).decode("utf-8", "replace")
        written = in_its_place(stream.text, piece, ends=ends) or self._due()
        return spelled(written, self._vocabulary) if written else ()

    def _due(self) -> str:
        """What opens the block, if the text before it has become too long."""
        self._text_left -= 1
        if self._settled or self._text_left >= 0:
            return ""
        text = self._stream.text
        if blocks(text) or TEXT_FINAL.search(text):
            self._settled = True
        elif not text.endswith("`"):  # else a fence may be coming
            return opened(text)
        return ""


def spelled(text: str, vocabulary: Vocabulary) -> tuple[int, ...]:
    """The tokens that add `text` to another, to the letter.

    Some tokenizers put a space before whatever they are given. Behind a line break they
    do not.
    """
    tokens = _numbers(vocabulary.tokenize(text))
    if _text_of(tokens, vocabulary) != text.encode():
        behind = _numbers(vocabulary.tokenize(f"\n{text}"))
        for start in range(1, len(behind)):
            if _text_of(behind[start:], vocabulary) == text.encode():
                return behind[start:]
    return tokens


def _numbers(tokens: Tokens) -> tuple[int, ...]:
    return tuple(map(int, tokens))


def _text_of(tokens: tuple[int, ...], vocabulary: Vocabulary) -> bytes:
    return b"".join(map(vocabulary.piece, tokens))
