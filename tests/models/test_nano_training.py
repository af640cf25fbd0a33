"""Rows, the optimizer, exact resumption. Needs the extra `train`."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
tokenizers = pytest.importorskip("tokenizers")

from models.nano import chat, programs, samples  # noqa: E402
from models.nano.folders import TOKENIZER  # noqa: E402
from models.nano.muon import orthogonal  # noqa: E402
from models.nano.network import Network, Shape  # noqa: E402
from models.nano.train import Plan, Run, train  # noqa: E402
from rlm_local.records import Message  # noqa: E402

SMALL = Shape(width=32, layers=1, heads=2, hidden=32)
DIALOGUE = [
    {"role": "user", "content": "What is the pin of K?\ncontext: str", "learn": False},
    {"role": "assistant", "content": programs.turn(programs.LOCATE), "learn": True},
    {"role": "user", "content": "0 '' [K] ' 4819203'", "learn": False},
    {"role": "assistant", "content": programs.turn("FINAL(0)"), "learn": False},
    {"role": "user", "content": "(no output)", "learn": False},
    {"role": "assistant", "content": programs.turn("FINAL(1)"), "learn": True},
]


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return tokenizers.Tokenizer.from_file(str(TOKENIZER))


def test_a_rows_text_is_what_the_template_writes(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    text = chat.render([Message(m["role"], m["content"]) for m in DIALOGUE])
    assert tokenizer.decode(row.tokens.tolist(), skip_special_tokens=False) == text
    assert tokenizer.encode(text, add_special_tokens=False).ids == row.tokens.tolist()


def test_only_learned_turns_have_weight(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    learned = tokenizer.decode(row.tokens[row.weight == 1.0].tolist(), skip_special_tokens=False)
    assert learned == programs.turn("FINAL(1)") + chat.END
    first = tokenizer.decode(row.tokens[(row.weight > 0) & (row.weight < 1)].tolist())
    assert first == programs.turn(programs.LOCATE)


def test_a_short_row_keeps_positions_and_never_predicts_over_the_gap(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    batch = samples.batch([row], short=True)
    start, end = row.cell[0] + 24, row.cell[1] - 24
    kept = np.r_[0:start, end : len(row.tokens) - 1]
    assert batch.positions[0].tolist() == kept.tolist()
    assert batch.weights[0, start - 1] == 0.0
    whole = samples.batch([row], short=False)
    assert whole.tokens.shape[1] == len(row.tokens) - 1


def test_a_garbled_row_keeps_all_but_the_question_up_to_its_first_cell(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    asked = "What is the pin of K?"
    assert tokenizer.decode(row.tokens[slice(*row.question)].tolist()) == asked
    for seed in range(20):
        garbled = samples.garbled(row, 2_048, random.Random(seed))
        text = tokenizer.decode(garbled.tokens.tolist(), skip_special_tokens=False)
        assert asked not in text
        assert text.endswith(
            "\ncontext: str"
            + chat.END
            + chat.opening("assistant")
            + programs.turn(programs.LOCATE)
            + chat.END
        )
        nonsense = garbled.tokens[slice(*garbled.question)]
        assert nonsense.min() >= len(chat.SPECIAL_TOKENS)
        assert (garbled.weight > 0).sum() == garbled.cell[1] - garbled.cell[0] + 1
        assert (garbled.weight[slice(*garbled.cell)] > 0).all()


def test_muons_update_is_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    for shape in ((32, 32), (16, 48), (48, 16)):
        singular = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert 0.5 < singular.min() <= singular.max() < 1.3


def test_a_resumed_run_is_the_same_run(tokenizer: object, tmp_path: Path) -> None:
    rows = [samples.row(DIALOGUE, tokenizer)] * 6
    plan = Plan(rows=2, steps=6, warm=2)
    whole = Run(plan, SMALL)
    train(whole, rows, [], tmp_path)
    stopped = Run(plan, SMALL)
    for step, numbers in zip(range(3), samples.order(rows, 2, plan.seed), strict=False):
        assert step == stopped.step
        from models.nano.train import batch_at

        stopped.advance(batch_at(rows, numbers, plan, step))
    stopped.save(tmp_path / "half.pt")
    resumed = Run.load(tmp_path / "half.pt")
    train(resumed, rows, [], tmp_path)
    for ours, theirs in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_network_sees_nothing_that_comes_later() -> None:
    network = Network(SMALL)
    tokens = torch.randint(0, 2_048, (1, 12))
    positions = torch.arange(12)[None]
    before = network(tokens, positions)[0, :6]
    tokens[0, 6:] = 7
    assert torch.allclose(network(tokens, positions)[0, :6], before, atol=1e-6)
