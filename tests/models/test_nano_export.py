"""The exported file computes what PyTorch computes. Needs the extra `train`."""

from __future__ import annotations

from pathlib import Path

import llama_cpp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("gguf")
tokenizers = pytest.importorskip("tokenizers")

from models.nano import chat, export, programs  # noqa: E402
from models.nano.network import Network, Shape  # noqa: E402
from models.nano.tokenizer import train as trained_tokenizer  # noqa: E402
from rlm_local.records import Message  # noqa: E402

pytestmark = pytest.mark.slow

#: Rounding weights and KV to f16 moves a logit by about 2**-11 of the sums it comes from.
LARGEST_DIFFERENCE = 0.5

TEXT = chat.render(
    [
        Message(
            "user", "What is the code for Amber-9?\ncontext: str, 40182 chars\nThe old café is"
        ),
        Message("assistant", programs.turn(programs.LOCATE)),
        Message("user", "0 'the code for ' [Amber-9] ' is 4819203.\\nIt rained\\t'"),
    ]
)


@pytest.fixture(scope="module")
def network(tokenizer: object) -> Network:
    torch.manual_seed(7)
    network = Network(Shape(vocabulary=tokenizer.get_vocab_size()))
    with torch.no_grad():
        for block in network.blocks:  # zero at the start of training
            block.attention.out.weight.normal_(std=0.1)
            block.down.weight.normal_(std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return trained_tokenizer([TEXT], [programs.turn(programs.LOCATE)], 500)


@pytest.fixture(scope="module")
def engine(network: Network, tokenizer: object, tmp_path_factory: pytest.TempPathFactory) -> object:
    path = Path(tmp_path_factory.mktemp("nano")) / "nano.gguf"
    export.write(path, network, tokenizer, {"tokens_seen": "0"})
    engine = llama_cpp.Llama(
        str(path), n_ctx=512, n_threads=2, logits_all=True, verbose=False, use_mmap=False
    )
    yield engine
    engine.close()


def test_tokens_are_equal(engine: object, tokenizer: object) -> None:
    ours = tokenizer.encode(TEXT, add_special_tokens=False).ids
    assert engine.tokenize(TEXT.encode(), add_bos=False, special=True) == ours


def test_logits_are_equal_within_f16(engine: object, network: Network, tokenizer: object) -> None:
    ids = tokenizer.encode(TEXT, add_special_tokens=False).ids
    engine.eval(ids)
    theirs = np.array(engine.scores[: len(ids)])
    with torch.no_grad():
        tokens = torch.tensor([ids])
        hidden = network(tokens, torch.arange(len(ids))[None])
        ours = network.logits(hidden)[0].numpy()
    assert np.abs(ours - theirs).max() < LARGEST_DIFFERENCE
    assert (ours.argmax(-1) == theirs.argmax(-1)).mean() > 0.95


def test_metadata_says_what_it_is(engine: object) -> None:
    assert engine.metadata["rlm.profile"] == "nano"
    assert engine.metadata["tokenizer.chat_template"] == chat.TEMPLATE


def test_a_tokenizer_of_another_network_is_refused(network: Network, tmp_path: Path) -> None:
    other = trained_tokenizer([TEXT], [], 400)
    with pytest.raises(ValueError, match="it is another's"):
        export.write(tmp_path / "nano.gguf", network, other, {})
