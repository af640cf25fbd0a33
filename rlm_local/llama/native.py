"""llama.cpp, through its C API: the only file that calls the bindings.

Runs in the worker process only. Everything passed on is checked or known to be
in range, because llama.cpp answers several kinds of misuse by ending the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlm_local.errors import AdapterError, FormError, ModelError
from rlm_local.limits import MIB
from rlm_local.llama.bindings import llama as _llama
from rlm_local.llama.engine import Logits, Outcome, Tokens
from rlm_local.llama.memory import SEQUENCES
from rlm_local.llama.threads import Governor
from rlm_local.records import Adapter, KvType

_CELL_TYPES: dict[KvType, int] = {"f16": _llama.GGML_TYPE_F16, "q8_0": _llama.GGML_TYPE_Q8_0}
# Of one text: the tokenizer takes up to 67 bytes of memory for each, and ends the process where
# it gets none.
MOST_TEXT_BYTES = 4 * MIB
_WARNING, _ERROR, _GOES_ON = 3, 4, 5  # ggml's levels; the last is for the rest of a line


class _Warnings:
    """A log that writes to standard error what is a warning or worse."""

    def __init__(self) -> None:
        self._writes = False

    def __call__(self, level: int, text: bytes, _: int | None) -> None:
        if level != _GOES_ON:
            self._writes = level in (_WARNING, _ERROR)
        if self._writes:
            with contextlib.suppress(OSError):
                os.write(2, text)


_log = _llama.llama_log_callback(_Warnings())  # kept: C does not


def log_warnings_only() -> None:
    """Have llama.cpp write warnings and errors alone, not a line for each tensor and step."""
    _llama.llama_log_set(_log, None)


class Loading(NamedTuple):
    """How to load a model: see `memory.MemoryPlan` for the figures. `threads`: at most."""

    cells: int
    batch_tokens: int
    threads: int
    flash: bool
    mapped: bool
    check_tensors: bool = False
    adapters: tuple[Adapter, ...] = ()
    kv_type: KvType = "f16"
    gpu_layers: int = 0


class NativeVocabulary:
    """`engine.Vocabulary` over llama.cpp."""

    def __init__(self, model: int) -> None:
        self.handle = _llama.llama_model_get_vocab(model)
        self.size: int = _llama.llama_vocab_n_tokens(self.handle)
        bos: int = _llama.llama_vocab_bos(self.handle)
        adds: bool = _llama.llama_vocab_get_add_bos(self.handle)
        self.bos = bos if adds and 0 <= bos < self.size else None
        self._pieces: dict[int, bytes] = {}

    def tokenize(self, text: str) -> Tokens:
        raw = text.encode()
        if len(raw) > MOST_TEXT_BYTES:
            raise ModelError(
                f"a text of {len(raw):,} bytes was to be tokenized, and {MOST_TEXT_BYTES:,} are "
                "the most",
                hint="split the text",
            )
        capacity = len(raw) + 16
        buffer = np.empty(capacity, np.int32)
        count: int = _llama.llama_tokenize(
            self.handle, raw, len(raw), _pointer(buffer, ctypes.c_int32), capacity, False, False
        )
        if count < 0:
            raise ModelError(f"the tokenizer failed on a text of {len(text):,} characters")
        return buffer[:count].copy()

    def piece(self, token: int) -> bytes:
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._piece(token)
        return piece

    def _piece(self, token: int) -> bytes:
        if not 0 <= token < self.size:
            raise ValueError(f"there is no token {token}")
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length: int = _llama.llama_token_to_piece(self.handle, token, buffer, size, 0, False)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def spell(self, token: int, text: str) -> None:
        """From now on the control token `token` adds `text`."""
        self._pieces[token] = text.encode()

    def ends(self, token: int) -> bool:
        return bool(_llama.llama_vocab_is_eog(self.handle, token))

    def strips(self, token: int) -> tuple[bool, bool]:
        attributes: int = _llama.llama_vocab_get_attr(self.handle, token)
        return (
            bool(attributes & _llama.LLAMA_TOKEN_ATTR_LSTRIP),
            bool(attributes & _llama.LLAMA_TOKEN_ATTR_RSTRIP),
        )


class _Candidates(NamedTuple):
    """Tokens and their logits, as numpy sees them and as llama.cpp does."""

    data: NDArray[Any]
    view: Any


_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Native:
    """`engine.Engine` over llama.cpp: a loaded model with one context.

    Not for two threads at once, except `abort`. What aborts the one that it is `beside`
    aborts it too.
    """

    def __init__(
        self,
        path: Path,
        how: Loading,
        *,
        progress: Callable[[float], None] | None = None,
        beside: Native | None = None,
    ) -> None:
        _llama.llama_backend_init()
        self._model = self._load(path, how, progress)
        self.vocabulary = NativeVocabulary(self._model)
        # "" or "\1": see _start
        self._flag: ctypes.Array[ctypes.c_char] = (
            ctypes.create_string_buffer(2) if beside is None else beside._flag
        )
        # Before there is a context, which makes room in its graphs for those it finds.
        adapters = [self._adapter(adapter.path) for adapter in how.adapters]
        self._context = self._start(how)
        self._apply(adapters, [adapter.scale for adapter in how.adapters])
        self._memory = _llama.llama_get_memory(self._context)
        self._governor = Governor(how.threads)
        self._capacity = how.batch_tokens
        self._outputs_max = SEQUENCES
        self._count = 0
        self._outputs = 0
        self._token = np.zeros(self._capacity, np.int32)
        self._position = np.zeros(self._capacity, np.int32)
        self._sequence = np.zeros(self._capacity, np.int32)
        self._wanted = np.zeros(self._capacity, np.int8)
        self._batch = self._view()

    def _load(self, path: Path, how: Loading, progress: Callable[[float], None] | None) -> int:
        params = _llama.llama_model_default_params()
        params.check_tensors = how.check_tensors
        params.n_gpu_layers = how.gpu_layers
        if not how.gpu_layers:  # else a GPU would still be started, and take long batches
            none = (ctypes.c_void_p * 1)()
            params.devices = ctypes.addressof(none)
        params.load_mode = (
            _llama.LLAMA_LOAD_MODE_MMAP if how.mapped else _llama.LLAMA_LOAD_MODE_NONE
        )
        if progress is not None:

            def report(fraction: float, _: int | None) -> bool:
                progress(fraction)
                return True

            params.progress_callback = _llama.llama_progress_callback(report)
        model: int | None = _llama.llama_model_load_from_file(bytes(path), params)
        if not model:
            raise ModelError(f"llama.cpp cannot load {path}")
        recurrent = _llama.llama_model_is_recurrent(model) or _llama.llama_model_is_hybrid(model)
        if recurrent or _llama.llama_model_has_encoder(model):
            raise ModelError(f"{path} is not a plain decoder model, the only kind that is run")
        return model

    def _adapter(self, path: str) -> Any:
        """A LoRA adapter, which has been checked against the model; it lives as long as that."""
        adapter = _llama.llama_adapter_lora_init(self._model, os.fsencode(path))
        if not adapter:
            raise AdapterError(f"llama.cpp cannot load the LoRA adapter {path}")
        return adapter

    def _apply(self, adapters: list[Any], scales: list[float]) -> None:
        """Have every token computed with `adapters`, for good."""
        if not adapters:
            return
        handles = (_llama.llama_adapter_lora_p_ctypes * len(adapters))(*adapters)
        factors = (ctypes.c_float * len(scales))(*scales)
        if _llama.llama_set_adapters_lora(self._context, handles, len(adapters), factors):
            raise AdapterError("llama.cpp cannot apply the LoRA adapters")

    def _start(self, how: Loading) -> int:
        params = _llama.llama_context_default_params()
        params.n_ctx = how.cells
        params.n_batch = params.n_ubatch = how.batch_tokens
        params.n_seq_max = SEQUENCES
        params.n_outputs_max = SEQUENCES  # fewer than sequences would abort
        params.n_threads = params.n_threads_batch = how.threads
        params.type_k = params.type_v = _CELL_TYPES[how.kv_type]
        params.kv_unified = True
        params.swa_full = True  # else a kept prefix would lose its oldest cells
        params.no_perf = True
        params.flash_attn_type = (
            _llama.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if how.flash
            else _llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        # A callback in Python would need the interpreter's lock at every graph node.
        # strlen is a C function of one pointer whose result is false for "" only.
        libc = ctypes.CDLL(None)
        params.abort_callback = ctypes.cast(libc.strlen, _llama.ggml_abort_callback)
        params.abort_callback_data = ctypes.addressof(self._flag)
        context: int | None = _llama.llama_init_from_model(self._model, params)
        if not context:
            raise ModelError(
                f"llama.cpp cannot make a context of {how.cells:,} tokens",
                hint="lower context_tokens",
            )
        return context

    def _view(self) -> Any:
        """llama.cpp's view of the batch arrays; every token belongs to one sequence."""
        self._one = np.ones(self._capacity, np.int32)
        self._sequence_rows = (
            self._sequence.ctypes.data + 4 * np.arange(self._capacity, dtype=np.uintp)
        ).astype(np.uintp)
        rows = ctypes.cast(
            self._sequence_rows.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))
        )
        return _llama.llama_batch(
            n_tokens=0,
            token=_pointer(self._token, ctypes.c_int32),
            embd=None,
            pos=_pointer(self._position, ctypes.c_int32),
            n_seq_id=_pointer(self._one, ctypes.c_int32),
            seq_id=rows,
            logits=_pointer(self._wanted, ctypes.c_int8),
        )

    # ------------------------------------------------------------- decoding

    @property
    def room(self) -> int:
        return self._capacity - self._count

    @property
    def outputs_left(self) -> int:
        """For how many more tokens of the batch logits can be had."""
        return self._outputs_max - self._outputs

    def add(self, sequence: int, tokens: Tokens, position: int, *, output: int) -> None:
        start, end = self._count, self._count + len(tokens)
        if not 0 < len(tokens) <= self.room:
            raise ValueError(f"{len(tokens)} tokens for a batch with room for {self.room}")
        if not 0 <= output <= min(len(tokens), self.outputs_left):
            raise ValueError(f"logits of {output} tokens, and {self.outputs_left} can be had")
        if not 0 <= sequence < SEQUENCES:
            raise ValueError(f"there is no sequence {sequence}")
        self._token[start:end] = tokens
        self._position[start:end] = np.arange(position, position + len(tokens), dtype=np.int32)
        self._sequence[start:end] = sequence
        self._wanted[start : end - output] = 0
        self._wanted[end - output : end] = 1
        self._outputs += output
        self._count = end

    def decode(self) -> Outcome:
        if not self._count:
            raise ValueError("an empty batch")
        self._batch.n_tokens = self._count
        wall, cpu = time.perf_counter(), time.process_time()
        outcome: int = _llama.llama_decode(self._context, self._batch)
        if self._governor.measured(time.perf_counter() - wall, time.process_time() - cpu):
            threads = self._governor.threads
            _llama.llama_set_n_threads(self._context, threads, threads)
        self._rows, self._count, self._outputs = self._outputs, 0, 0
        if outcome not in set(Outcome):
            raise ModelError(f"llama.cpp failed to decode a batch (code {outcome})")
        return Outcome(outcome)

    def logits(self) -> Logits:
        rows = _llama.llama_get_logits(self._context)
        if not rows or not self._rows:
            raise ModelError("llama.cpp returned no logits")
        return np.ctypeslib.as_array(rows, shape=(self._rows, self.vocabulary.size))

    def abort(self) -> None:
        """From any thread: end the running decode early, and every later one at once."""
        self._flag[0] = b"\1"

    def resume(self) -> None:
        """Take `abort` back."""
        self._flag[0] = b"\0"

    @property
    def aborted(self) -> bool:
        return self._flag[0] != b"\0"

    def grammar(self, text: str) -> NativeGrammar:
        """A grammar from GBNF `text`, which has been checked. Raises FormError."""
        return NativeGrammar(self.vocabulary, text)

    # ------------------------------------------------------------- KV cache

    def copy(self, source: int, target: int, length: int) -> None:
        if not (0 <= source < SEQUENCES and 0 <= target < SEQUENCES):
            raise ValueError(f"there is no sequence {source}, or no sequence {target}")
        _llama.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def remove(self, sequence: int, start: int) -> None:
        if not _llama.llama_memory_seq_rm(self._memory, sequence, start, -1):
            raise ModelError("llama.cpp cannot shorten a sequence of this model")

    def state_bytes(self, sequence: int) -> int:
        size: int = _llama.llama_state_seq_get_size(self._context, sequence)
        return size

    def save(self, sequence: int, into: memoryview) -> bool:
        written: int = _llama.llama_state_seq_get_data(
            self._context, _bytes_of(into), len(into), sequence
        )
        return written == len(into)

    def restore(self, sequence: int, state: memoryview) -> bool:
        taken: int = _llama.llama_state_seq_set_data(
            self._context, _bytes_of(state), len(state), sequence
        )
        if taken != len(state):
            self.remove(sequence, 0)
            return False
        return True


def _bytes_of(memory: memoryview) -> Any:
    return ctypes.cast(np.frombuffer(memory, np.uint8).ctypes.data, ctypes.POINTER(ctypes.c_uint8))


class NativeGrammar:
    """`engine.Grammar` over llama.cpp. The GBNF text has been checked."""

    def __init__(self, vocabulary: NativeVocabulary, text: str) -> None:
        self._vocabulary = vocabulary
        sampler: int | None = _llama.llama_sampler_init_grammar(
            vocabulary.handle, text.encode(), b"root"
        )
        if not sampler:
            raise FormError("llama.cpp cannot read the grammar", hint="name its first rule root")
        self._sampler: int | None = sampler
        self._one = self._candidates(1)
        self._all: _Candidates | None = None

    def allows(self, token: int) -> bool:
        if not 0 <= token < self._vocabulary.size:
            raise ValueError(f"there is no token {token}")
        data = self._one.data
        data["id"], data["logit"] = token, 0.0
        self._apply(self._one)
        return bool(data["logit"][0] == 0.0)

    def mask(self, logits: Logits) -> Logits:
        if self._all is None:
            self._all = self._candidates(self._vocabulary.size)
        data = self._all.data
        data["id"] = np.arange(self._vocabulary.size, dtype=np.int32)
        data["logit"] = logits
        self._apply(self._all)
        return data["logit"].copy()

    def accept(self, token: int) -> None:
        if not self.allows(token) or self._vocabulary.ends(token):
            raise ValueError(f"the grammar does not take the token {token}")  # else it would abort
        _llama.llama_sampler_accept(self._open(), token)

    def close(self) -> None:
        if self._sampler:
            _llama.llama_sampler_free(self._sampler)
            self._sampler = None

    def _open(self) -> int:
        if self._sampler is None:
            raise ValueError("the grammar was closed")
        return self._sampler

    def _apply(self, candidates: _Candidates) -> None:
        candidates.view.sorted = False
        candidates.view.selected = -1
        _llama.llama_sampler_apply(self._open(), ctypes.byref(candidates.view))

    def _candidates(self, count: int) -> _Candidates:
        data = np.zeros(count, _CANDIDATE)
        view = _llama.llama_token_data_array(
            data=data.ctypes.data_as(_llama.llama_token_data_p), size=count
        )
        return _Candidates(data, view)


def uses_gpu() -> bool:
    """Whether this build of llama.cpp can compute on a GPU."""
    return bool(_llama.llama_supports_gpu_offload())


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))
