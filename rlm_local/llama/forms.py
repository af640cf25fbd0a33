"""Replies that keep to a grammar.

A grammar over the whole vocabulary costs milliseconds a token, over one token
microseconds. So the model chooses freely, and only where the grammar does not take
its choice does it choose again among what the grammar takes.
"""

from __future__ import annotations

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

    def __call__(self, logits: Logits) -> int:
        token = self._draw(logits)
        if not self._grammar.allows(token):
            allowed = self._grammar.mask(logits)
            if np.isneginf(allowed.max()):
                return self._end
            token = self._draw(allowed)
        if not self._vocabulary.ends(token):
            self._grammar.accept(token)
        return token

    def _draw(self, logits: Logits) -> int:
        return self._sampler(logits) if self._sampler else int(logits.argmax())

    def close(self) -> None:
        self._grammar.close()
