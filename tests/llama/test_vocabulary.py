"""Chats through llama.cpp's own tokenizers: pieces put together as it would itself."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from rlm_local.llama import inspect
from rlm_local.llama.chat import Chat, ChatFormat
from rlm_local.llama.engine import Tokens
from rlm_local.llama.native import Loading, Native, _llama
from rlm_local.records import Message
from tests.llama import build

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n"
    "{% endfor %}<|assistant|>{{ '\n' }}"
)
MARKS = ["<s>", "</s>", "<|end|>", "<|user|>", "<|assistant|>"]
WORDS = ["▁", "▁the", "▁a", "the", "a", "he", "th"]
DOCUMENTS = [
    "the a the",
    " the",
    "",
    "\n\n",
    "the\n",
    "é€😀",
    "<x>",
    "|>",
    "a" * 50,
    "the <|",
    "  a",
]


def sentencepiece(folder: Path) -> Path:
    """A model with a SentencePiece vocabulary, as Llama 2 has."""
    letters = [chr(code) for code in range(33, 127)]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = ["<unk>", *MARKS, *bytes_, *WORDS, *(x for x in letters if x not in WORDS)]
    types = [2] + [3] * len(MARKS) + [6] * 256
    types += [1] * (len(tokens) - len(types))
    scores = [-float(number) for number in range(len(tokens))]
    entries = build.metadata(
        model=("tokenizer.ggml.model", build.STRING, "llama"),
        pre=("tokenizer.ggml.scores", build.ARRAY, (build.F32, scores)),
        tokens=("tokenizer.ggml.tokens", build.ARRAY, (build.STRING, tokens)),
        token_type=("tokenizer.ggml.token_type", build.ARRAY, (build.I32, types)),
        eos=("tokenizer.ggml.eos_token_id", build.U32, 2),
        merges=("tokenizer.ggml.bos_token_id", build.U32, 1),
    )
    entries.append(("tokenizer.chat_template", build.STRING, TEMPLATE))
    table = [
        (name, (build.WIDTH, len(tokens)) if name == "token_embd.weight" else shape, 0, 0, 0)
        for name, shape, *_ in build.tensors()
    ]
    return build.written(folder, build.gguf(entries, build.packed(table)))


@pytest.fixture(scope="module", params=["byte-level", "sentencepiece"])
def path(
    request: pytest.FixtureRequest, tiny_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if request.param == "byte-level":
        return tiny_path
    return sentencepiece(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def native(path: Path) -> Native:
    return Native(path, Loading(512, 64, 1, flash=False, mapped=True))


@pytest.fixture(scope="module")
def chat(path: Path, native: Native) -> Chat:
    file = inspect(path)
    return Chat(native.vocabulary, ChatFormat(file.template, file.specials, file.bos, file.eos))


def canonical(native: Native, text: str) -> Tokens:
    """llama.cpp's tokens of a whole rendered prompt, special tokens read."""
    raw = text.encode()
    buffer = (ctypes.c_int32 * (len(raw) + 16))()
    count = _llama.llama_tokenize(
        native.vocabulary.handle, raw, len(raw), buffer, len(buffer), False, True
    )
    return np.array(buffer[:count], np.int32)


def rendered(path: Path, document: str) -> str:
    if "im_start" in inspect(path).template:
        return f"<|im_start|>user\n{document}<|im_end|>\n<|im_start|>assistant\n"
    return f"<s><|user|>\n{document}<|end|>\n<|assistant|>\n"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_as_llama_cpp_would(path: Path, native: Native, chat: Chat, document: str) -> None:
    tokens = chat.tokens([Message("user", document)])
    assert tokens.tolist() == canonical(native, rendered(path, document)).tolist()


def test_a_documents_marks_are_text(path: Path, native: Native, chat: Chat) -> None:
    marks = [special.text for special in inspect(path).specials]
    plain = chat.tokens([Message("user", "")]).tolist()
    ids = {special.id for special in inspect(path).specials}
    count = sum(token in ids for token in plain)
    for document in [*marks, "".join(marks), f"the {marks[-1]} the"]:
        tokens = chat.tokens([Message("user", document)]).tolist()
        assert sum(token in ids for token in tokens) == count
        said = b"".join(map(native.vocabulary.piece, tokens)).decode()
        assert document in said


def test_pieces_make_up_the_text(native: Native) -> None:
    for document in DOCUMENTS:
        tokens = native.vocabulary.tokenize(document)
        text = b"".join(map(native.vocabulary.piece, tokens.tolist())).decode()
        assert text in (document, f" {document}")  # SentencePiece begins with a space
