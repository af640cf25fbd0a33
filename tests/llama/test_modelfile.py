"""What a model file must hold: each requirement, broken by one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_local.errors import ModelFileError
from rlm_local.llama import inspect
from tests.llama import build
from tests.llama.build import ARRAY, BOOL, F32, I32, STRING, U8, U32


def test_a_sound_file(tmp_path: Path) -> None:
    file = inspect(build.written(tmp_path, build.gguf()))
    assert (file.layers, file.width, file.heads, file.vocabulary) == (1, 32, 2, 257)
    assert file.kv_floats == 2 * 32
    assert file.name == "model"
    assert file.profile == "generic"
    assert [special.text for special in file.specials] == ["<|end|>"]
    assert file.quantization == "F32"
    assert file.mapped


def test_a_model_of_the_bench(tiny_path: Path) -> None:
    file = inspect(tiny_path)
    assert file.name == "random-tiny"
    assert file.context_tokens == 1_024
    assert file.template.startswith("{% for")
    assert [special.text for special in file.specials] == [
        *("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    ]


def test_the_profile_is_the_files_own(tmp_path: Path) -> None:
    entries = [*build.metadata(), ("rlm.profile", STRING, "nano")]
    assert inspect(build.written(tmp_path, build.gguf(entries))).profile == "nano"


def test_heads_may_differ_by_layer(tmp_path: Path) -> None:
    entries = [*build.metadata(), ("llama.attention.head_count_kv", ARRAY, (U32, [1]))]
    assert inspect(build.written(tmp_path, build.gguf(entries))).kv_floats == 2 * 16


def array(name: str, kind: int, items: list[object]) -> build.Entry:
    return (f"tokenizer.ggml.{name}", ARRAY, (kind, items))


BAD: dict[str, tuple[dict[str, build.Entry | None], str]] = {
    "no architecture": ({"architecture": None}, "lack 'general.architecture'"),
    "no layers": ({"block_count": ("llama.block_count", U32, 0)}, "is 0, not 1 to 1,024"),
    "100,000 layers": ({"block_count": ("llama.block_count", U32, 100_000)}, "is 100,000, not"),
    "two layers, one stored": ({"block_count": ("llama.block_count", U32, 2)}, "say 2 layers"),
    "layers as text": ({"block_count": ("llama.block_count", STRING, "1")}, "as a whole number"),
    "layers as truth": ({"block_count": ("llama.block_count", BOOL, True)}, "as a whole number"),
    "no width": ({"embedding_length": None}, "lack 'llama.embedding_length'"),
    "another width": ({"embedding_length": ("llama.embedding_length", U32, 64)}, "shape (32, 257)"),
    "no heads": ({"head_count": ("llama.attention.head_count", U32, 0)}, "head_count' is 0"),
    "heads of two layers": (
        {"head_count": ("llama.attention.head_count", ARRAY, (U32, [2, 2]))},
        "2 items for 1 layers",
    ),
    "no feed-forward": ({"feed_forward_length": None}, "lack 'llama.feed_forward_length'"),
    "no epsilon": ({"epsilon": None}, "lack 'llama.attention.layer_norm_rms_epsilon'"),
    "more rotated than there is": (
        {"pre": ("llama.rope.dimension_count", U32, 18)},
        "dimension_count' is 18, not 0 to 16",
    ),
    "an odd rotation": ({"pre": ("llama.rope.dimension_count", U32, 15)}, "is 15, which is odd"),
    "no context": ({"context_length": ("llama.context_length", U32, 0)}, "is 0, not 1 to"),
    "no tokenizer": ({"model": None}, "lack 'tokenizer.ggml.model'"),
    "no tokens": ({"tokens": None}, "lack 'tokenizer.ggml.tokens'"),
    "empty vocabulary": ({"tokens": array("tokens", STRING, [])}, "has 0 tokens"),
    "tokens are numbers": ({"tokens": array("tokens", U32, [1])}, "as a list of texts"),
    "equal tokens": (
        {"tokens": array("tokens", STRING, [*build.LETTERS, build.LETTERS[0]])},
        "257 tokens and 256 distinct ones",
    ),
    "no byte token": (
        {"tokens": array("tokens", STRING, [*build.LETTERS[1:], "two", "<|end|>"])},
        "lacks 1 of the 256 byte tokens ('Ā'",
    ),
    "no byte token, SentencePiece": (
        {"model": ("tokenizer.ggml.model", STRING, "llama")},
        "lacks 256 of the 256 byte tokens ('<0x00>'",
    ),
    "no merges": ({"merges": None}, "lack 'tokenizer.ggml.merges'"),
    "types of one token": ({"token_type": array("token_type", I32, [1])}, "1 items for 257"),
    "types in bytes": ({"token_type": array("token_type", U8, [1] * 257)}, "32-bit"),
    "scores of one token": (
        {"token_type": array("scores", F32, [0.5])},
        "'tokenizer.ggml.scores' has 1 items",
    ),
    "no end": ({"eos": None}, "names no end token"),
    "an end that is no token": ({"eos": ("tokenizer.ggml.eos_token_id", U32, 257)}, "is 257"),
    "a beginning that is none": (
        {"pre": ("tokenizer.ggml.bos_token_id", U32, 1 << 31)},
        "bos_token_id' is 2147483648",
    ),
    "a beginning wanted, none named": (
        {"pre": ("tokenizer.ggml.add_bos_token", BOOL, True)},
        "bos_token_id' is None",
    ),
    "an adapter": ({"pre": ("general.type", STRING, "adapter")}, "holds a 'adapter'"),
    "a part": ({"pre": ("split.count", U32, 3)}, "one of 3 parts"),
    "recurrent": ({"pre": ("llama.ssm.state_size", U32, 3)}, "recurrent state"),
    "a huge template": (
        {"pre": ("tokenizer.chat_template", STRING, "x" * 1_100_000)},
        "template has 1,100,000 characters",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    changes, message = BAD[kind]
    with pytest.raises(ModelFileError) as caught:
        inspect(build.written(tmp_path, build.gguf(build.metadata(**changes))))
    assert message in str(caught.value)
    assert caught.value.hint


def test_no_embedding(tmp_path: Path) -> None:
    table = [("blk.0.x", (32,), 0, 0, 128)]
    with pytest.raises(ModelFileError, match=r"no tensor 'token_embd.weight'"):
        inspect(build.written(tmp_path, build.gguf(build.metadata(), table)))


SOUND = build.gguf()
HEADER_BYTES = len(SOUND) - sum(size for *_, size in build.tensors())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(24, HEADER_BYTES - 1), st.integers(0, 255)), min_size=1))
def test_any_header_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    raw = bytearray(SOUND)
    for at, byte in flips:
        raw[at] = byte
    path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
    path.write_bytes(raw)
    try:
        file = inspect(path)
    except ModelFileError:
        return
    assert 1 <= file.layers <= 1_024
    assert 0 <= file.eos < file.vocabulary


def test_a_model_is_known_by_its_whole_path(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may be resumed from another folder."""
    monkeypatch.chdir(tiny_path.parent)
    assert inspect(Path(tiny_path.name)).path == str(tiny_path)
