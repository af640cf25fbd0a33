"""Replies that keep to a grammar.

A grammar over the whole vocabulary costs milliseconds a token, over one token
microseconds. So the model chooses freely, and only where the grammar does not take
its choice does it choose again among what the grammar takes.
"""

from __future__ import annotations

import codecs

import numpy as np

from rlm_local.llama.engine import Grammar, Logits, Vocabulary
from rlm_local.llama.sampling import Sampler


class FormPicker:
    """Picks the tokens of one reply. `end`: what it says when the grammar leaves nothing else."""

    def __init__(
        self, grammar: Grammar, sampler: Sampler | None, vocabulary: Vocabulary, *, end: int
    ) -> None:
        self._grammar = grammar
        self._sampler = sampler
        self._vocabulary = vocabulary
        self._end = end
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")

    def __call__(self, logits: Logits) -> int:
        token = self._draw(logits)
        if not (self._readable(token) and self._grammar.allows(token)):
            allowed = self._grammar.mask(logits)
            token = self._draw(allowed)
            while not (self._readable(token) or np.isneginf(allowed[token])):
                allowed[token] = -np.inf
                token = self._draw(allowed)
            if np.isneginf(allowed[token]):
                return self._end
        if not self._vocabulary.ends(token):
            self._decoder.decode(self._vocabulary.piece(token))
            self._grammar.accept(token)
        return token

    def _readable(self, token: int) -> bool:
        """Whether the reply stays UTF-8. Grammars know characters, and bytes too lightly."""
        state = self._decoder.getstate()
        try:
            self._decoder.decode(self._vocabulary.piece(token))
        except UnicodeDecodeError:
            return False
        finally:
            self._decoder.setstate(state)
        return True

    def _draw(self, logits: Logits) -> int:
        return self._sampler(logits) if self._sampler else int(logits.argmax())

    def close(self) -> None:
        self._grammar.close()
