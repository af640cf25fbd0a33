"""llama.cpp by its plain bindings alone: what it makes of tokens, without the worker around it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlm_local.llama.bindings import llama

POSITIONS = 512
#: The package's own decodes each piece of the log by itself, and fails within a letter.
_SILENT = llama.llama_log_callback(lambda *_: None)


class Bare:
    """A model in a context of POSITIONS cells, which are f32 unless `f16`, with flash attention."""

    def __init__(self, path: Path, adapter: Path | None = None, *, f16: bool = False) -> None:
        llama.llama_log_set(_SILENT, None)
        llama.llama_backend_init()
        how = llama.llama_model_default_params()
        how.use_mmap = False
        self.model = llama.llama_model_load_from_file(str(path).encode(), how)
        assert self.model, f"llama.cpp does not load {path}"
        setup = llama.llama_context_default_params()
        setup.n_ctx = setup.n_batch = setup.n_ubatch = POSITIONS
        setup.n_threads = setup.n_threads_batch = 2
        setup.type_k = setup.type_v = llama.GGML_TYPE_F16 if f16 else llama.GGML_TYPE_F32
        setup.flash_attn_type = int(f16)
        self.context = llama.llama_init_from_model(self.model, setup)
        self.vocabulary = llama.llama_model_get_vocab(self.model)
        if adapter is None:
            return
        loaded = llama.llama_adapter_lora_init(self.model, str(adapter).encode())
        assert loaded, "llama.cpp does not load the adapter"
        adapters = (llama.llama_adapter_lora_p_ctypes * 1)(loaded)
        assert (
            llama.llama_set_adapters_lora(self.context, adapters, 1, (ctypes.c_float * 1)(1)) == 0
        )

    def logits(self, ids: Sequence[int], start: int = 0) -> NDArray[np.float32]:
        """Those behind each token, as (tokens, vocabulary). `start`: how many are there already."""
        llama.llama_memory_seq_rm(llama.llama_get_memory(self.context), 0, start, -1)
        batch = llama.llama_batch_init(len(ids), 0, 1)
        try:
            batch.n_tokens = len(ids)
            for place, token in enumerate(ids):
                batch.token[place] = token
                batch.pos[place] = start + place
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = 0
                batch.logits[place] = True
            assert llama.llama_decode(self.context, batch) == 0
        finally:
            llama.llama_batch_free(batch)
        size = len(ids), llama.llama_vocab_n_tokens(self.vocabulary)
        return np.ctypeslib.as_array(llama.llama_get_logits(self.context), size).copy()

    def greedy(self, prompt: Sequence[int], end: int) -> list[int]:
        """The likeliest tokens behind `prompt`, to `end` and with it, or to the last position."""
        written = [int(self.logits(prompt)[-1].argmax())]
        while written[-1] != end and len(prompt) + len(written) < POSITIONS:
            place = len(prompt) + len(written) - 1
            written.append(int(self.logits(written[-1:], place)[-1].argmax()))
        return written

    def tokens(self, text: str) -> list[int]:
        data = text.encode()
        room = (llama.llama_token * len(data))()
        size = llama.llama_tokenize(self.vocabulary, data, len(data), room, len(room), False, True)
        return list(room[:size])

    def text(self, ids: Sequence[int]) -> str:
        """Of tokens, marks of the dialogue too."""
        pieces = b""
        for token in ids:
            room = ctypes.create_string_buffer(1_024)
            size = llama.llama_token_to_piece(self.vocabulary, token, room, len(room), 0, True)
            pieces += room.raw[:size]
        return pieces.decode()

    def close(self) -> None:
        llama.llama_free(self.context)
        llama.llama_model_free(self.model)


@contextmanager
def bare(path: Path, adapter: Path | None = None, *, f16: bool = False) -> Iterator[Bare]:
    opened = Bare(path, adapter, f16=f16)
    try:
        yield opened
    finally:
        opened.close()
