"""llama-cpp-python's server, with room for long tokens.

Its `detokenize` has a buffer of 32 bytes and drops what is longer without a word. Lines of
programs are tokens of rlm-nano, so that the server as it is loses some.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp
from llama_cpp import _internals
from llama_cpp.server.__main__ import main

LONGEST_TOKEN = 4_096


def detokenize(self: Any, tokens: Sequence[int], special: bool = False) -> bytes:
    """As the original, whose place it takes."""
    buffer = ctypes.create_string_buffer(LONGEST_TOKEN)
    written = []
    for token in tokens:
        size = llama_cpp.llama_token_to_piece(
            self.vocab, llama_cpp.llama_token(token), buffer, LONGEST_TOKEN, 0, special
        )
        assert 0 <= size <= LONGEST_TOKEN
        written.append(buffer.raw[:size])
    return b"".join(written)


_internals.LlamaModel.detokenize = detokenize

if __name__ == "__main__":
    main()
