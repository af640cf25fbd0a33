"""The exported file computes what PyTorch computes. Needs the extra `train`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
gguf = pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

from models.nano import chat, export, programs  # noqa: E402
from models.nano.folders import WEIGHTS  # noqa: E402
from models.nano.network import Network, Shape  # noqa: E402
from models.nano.tokenizer import train as trained_tokenizer  # noqa: E402
from rlm_local.records import Message  # noqa: E402
from tests.models.bare import Bare, bare  # noqa: E402

pytestmark = pytest.mark.slow

#: Measured on three random networks, whose logits have a standard deviation of 0.63: rounding the
#: weights to f16 moves a logit by up to 0.005, and with what llama.cpp rounds, activations and
#: cells, by 0.007. Of the shipped weights (1.9) it is 0.006, with cells in f16 0.011.
LARGEST_DIFFERENCE = 0.02
LARGEST_Q8_0 = 0.35  # measured: 0.17

QUESTION = Message(
    "user", "What is the code for Amber-9?\ncontext: str, 40182 chars\nThe old café is"
)
TEXT = chat.render(
    [
        QUESTION,
        Message("assistant", programs.turn(programs.LOCATE)),
        Message("user", "0 'the code for ' [Amber-9] ' is 4819203.\\nIt rained\\t'"),
    ]
)


@pytest.fixture(scope="module")
def network(tokenizer: Any) -> Network:
    torch.manual_seed(7)
    network = Network(Shape(vocabulary=tokenizer.get_vocab_size()))
    with torch.no_grad():
        for block in network.blocks:  # zero at the start of training
            block.attention.out.weight.normal_(std=0.1)
            block.down.weight.normal_(std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def shipped() -> Network:
    """The network of the shipped file."""
    reader = gguf.GGUFReader(WEIGHTS)
    header = {name: reader.fields[f"llama.{name}"].contents() for name in _SIZES.values()}
    network = Network(Shape(**{ours: header[name] for ours, name in _SIZES.items()}))
    stored = {
        t.name: gguf.quants.dequantize(np.array(t.data), t.tensor_type) for t in reader.tensors
    }
    names = zip(network.state_dict(), export.tensors(network), strict=True)
    network.load_state_dict({ours: torch.from_numpy(stored[theirs]) for ours, theirs in names})
    return network.eval()


_SIZES = {
    "vocabulary": "vocab_size",
    "width": "embedding_length",
    "layers": "block_count",
    "heads": "attention.head_count",
    "hidden": "feed_forward_length",
    "window": "context_length",
    "rope_base": "rope.freq_base",
    "epsilon": "attention.layer_norm_rms_epsilon",
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return trained_tokenizer([TEXT], [programs.turn(programs.LOCATE)], 500)


@pytest.fixture(scope="module")
def path(network: Network, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nano") / "nano.gguf"
    export.write(path, network, tokenizer, {"tokens_seen": "0"})
    return path


def logits(network: Network, ids: list[int]) -> NDArray[np.float32]:
    with torch.no_grad():
        hidden = network(torch.tensor([ids]), torch.arange(len(ids))[None])
        found: NDArray[np.float32] = network.logits(hidden)[0].numpy()
    return found


def difference(network: Network, engine: Bare) -> float:
    """The largest of any logit behind any token of TEXT."""
    ids = engine.tokens(TEXT)
    return float(np.abs(logits(network, ids) - engine.logits(ids)).max())


def test_tokens_are_equal(path: Path, tokenizer: Any) -> None:
    with bare(path) as engine:
        assert engine.tokens(TEXT) == tokenizer.encode(TEXT, add_special_tokens=False).ids


@pytest.mark.parametrize("f16", [False, True], ids=["f32-cells", "f16-cells"])
def test_logits_are_equal_within_f16(path: Path, network: Network, f16: bool) -> None:
    with bare(path, f16=f16) as engine:
        assert difference(network, engine) < LARGEST_DIFFERENCE


def test_q8_0_is_near(network: Network, tokenizer: Any, path: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.gguf"
    export.write(small, network, tokenizer, {}, "q8_0")
    assert small.stat().st_size < 0.6 * path.stat().st_size
    kinds = {t.tensor_type.name for t in gguf.GGUFReader(small).tensors}
    assert kinds == {"Q8_0", "F32"}
    with bare(small) as engine:
        assert LARGEST_DIFFERENCE < difference(network, engine) < LARGEST_Q8_0


def in_bf16(network: Network) -> Network:
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.bfloat16())
    return network


def with_shape(**other: float) -> Callable[[Network], Network]:
    def change(network: Network) -> Network:
        network.shape = replace(network.shape, **other)
        return network

    return change


@pytest.mark.parametrize(
    "change",
    [in_bf16, with_shape(epsilon=1e-4), with_shape(rope_base=10_300.0)],
    ids=["bf16", "epsilon", "rope"],
)
def test_a_small_mistake_would_be_seen(
    change: Callable[[Network], Network], network: Network, tokenizer: Any, tmp_path: Path
) -> None:
    export.write(tmp_path / "other.gguf", change(copy.deepcopy(network)), tokenizer, {})
    with bare(tmp_path / "other.gguf") as engine:
        assert difference(network, engine) > 1.5 * LARGEST_DIFFERENCE


@pytest.mark.parametrize("f16", [False, True], ids=["f32-cells", "f16-cells"])
def test_the_shipped_weights_give_the_same_logits(shipped: Network, f16: bool) -> None:
    with bare(WEIGHTS, f16=f16) as engine:
        assert difference(shipped, engine) < LARGEST_DIFFERENCE


def test_the_shipped_weights_write_the_same_turn(shipped: Network) -> None:
    with bare(WEIGHTS) as engine:
        prompt = engine.tokens(chat.render([QUESTION]) + chat.opening("assistant"))
        (end,) = engine.tokens(chat.END)
        turn = engine.greedy(prompt, end)
        text = engine.text(turn)
    assert text.count("```") == 2
    assert text.endswith(chat.END)
    ours = logits(shipped, [*prompt, *turn])[len(prompt) - 1 : -1].argmax(-1)
    assert ours.tolist() == turn


def test_metadata_says_what_it_is(path: Path) -> None:
    fields = gguf.GGUFReader(path).fields
    assert fields["rlm.profile"].contents() == "nano"
    assert fields["tokenizer.chat_template"].contents() == chat.TEMPLATE


def test_a_tokenizer_of_another_network_is_refused(network: Network, tmp_path: Path) -> None:
    other = trained_tokenizer([TEXT], [], 400)
    with pytest.raises(ValueError, match="it is another's"):
        export.write(tmp_path / "nano.gguf", network, other, {})
