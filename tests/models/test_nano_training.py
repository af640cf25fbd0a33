"""Rows, the optimizer, exact resumption. Needs the extra `train`."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
tokenizers = pytest.importorskip("tokenizers")

from models.nano import chat, origin, packed, programs, samples  # noqa: E402
from models.nano.cells.profile import PROFILE  # noqa: E402
from models.nano.families.workers import role_of  # noqa: E402
from models.nano.feed import Part, Steps  # noqa: E402
from models.nano.muon import orthogonal  # noqa: E402
from models.nano.network import Network, Shape  # noqa: E402
from models.nano.plan import Plan  # noqa: E402
from models.nano.plot import curves  # noqa: E402
from models.nano.programs import LOCATE  # noqa: E402
from models.nano.tokenizer import lines  # noqa: E402
from models.nano.tokenizer import train as trained_tokenizer  # noqa: E402
from models.nano.train import Run, probe, state_of, train  # noqa: E402
from rlm_local.records import Message  # noqa: E402

SMALL = Shape(width=32, layers=1, heads=2, hidden=32)
QUESTION = "What is the pin of K?"
DIALOGUE = [
    {"role": "user", "content": f"{QUESTION}\ncontext: str", "learn": False},
    {
        "role": "assistant",
        "content": programs.turn(PROFILE),
        "learn": True,
        "constant": True,
    },
    {"role": "user", "content": "text\nnamed", "learn": False},
    {
        "role": "assistant",
        "content": programs.turn(programs.LOCATE),
        "learn": True,
        "constant": True,
    },
    {"role": "user", "content": "0 '' [K] ' 4819203'", "learn": False},
    {"role": "assistant", "content": programs.turn("FINAL(0)"), "learn": False},
    {"role": "user", "content": "(no output)", "learn": False},
    {"role": "assistant", "content": programs.turn("FINAL(1)"), "learn": True},
]
CALL = [
    {"role": "user", "content": "Does food fit? yes or no\nthe soup", "learn": False},
    {"role": "assistant", "content": "yes", "learn": True},
]


@pytest.fixture(scope="module")
def tokenizer() -> object:
    texts = [str(message["content"]) for message in (*DIALOGUE, *CALL)]
    return trained_tokenizer(texts, map(programs.turn, (PROFILE, LOCATE)), 600)


def test_a_rows_text_is_what_the_template_writes(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    text = chat.render([Message(m["role"], m["content"]) for m in DIALOGUE])
    assert tokenizer.decode(row.tokens.tolist(), skip_special_tokens=False) == text
    assert tokenizer.encode(text, add_special_tokens=False).ids == row.tokens.tolist()


def test_choices_have_full_weight_and_the_insides_of_cells_little(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    chosen = tokenizer.decode(row.tokens[row.weight == 1.0].tolist(), skip_special_tokens=False)
    first = [programs.turn(cell).splitlines(keepends=True)[1] for cell in (PROFILE, LOCATE)]
    assert chosen.endswith(programs.turn("FINAL(1)") + chat.END)
    assert all(line in chosen for line in first)
    insides = row.tokens[(row.weight > 0) & (row.weight < 1)]
    assert programs.LOCATE.splitlines()[-1] in tokenizer.decode(insides.tolist())
    assert "FINAL(0)" not in tokenizer.decode(row.tokens[row.weight > 0].tolist())


def test_replies_to_sub_calls_count_the_same_long_or_short(tokenizer: object) -> None:
    for reply in ("yes", "Albert Walsh the Younger"):
        row = samples.row([CALL[0], {**CALL[1], "content": reply}], tokenizer)
        assert row.weight.sum() == pytest.approx(2.0)
        assert role_of(str(CALL[0]["content"])) == "yes-no"


def test_lines_of_cells_are_tokens(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    for (start, end), cell in zip(row.cells, (PROFILE, LOCATE), strict=True):
        assert tokenizer.decode(row.tokens[start:end].tolist()) == programs.turn(cell)
        assert end - start < 1.5 * len(cell.splitlines()) + 12


def test_a_tokenizer_has_each_line_once_and_no_short_ones() -> None:
    assert lines(["first line\n  }\nsecond line\nlast", "second line\nthird line\n"]) == [
        "first line\n",
        "second line\n",
        "third line\n",
    ]


def test_a_short_row_keeps_positions_and_learns_nothing_over_a_gap(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    places = samples.shortened(row)
    batch = samples.batch([row], short=True)
    assert batch.positions[0].tolist() == places[:-1].tolist()
    start, end = row.cells[1]
    gap = places.tolist().index(start + samples.KEPT - 1)
    assert places[gap + 1] == end - samples.KEPT
    assert batch.weights[0, gap] == 0.0
    assert samples.batch([row]).tokens.shape[1] == len(row.tokens) - 1
    padded = samples.batch([row], multiple=64)
    assert padded.tokens.shape[1] % 64 == 0
    assert 0 <= padded.tokens.shape[1] - (len(row.tokens) - 1) < 64
    assert padded.weights.sum().item() == pytest.approx(row.weight[1:].sum())


def test_a_garbled_row_asks_nonsense_and_learns_cells_only(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    assert tokenizer.decode(row.tokens[slice(*row.question)].tolist()) == QUESTION
    for seed in range(20):
        garbled = samples.garbled(row, 2_048, random.Random(seed))
        text = tokenizer.decode(garbled.tokens.tolist(), skip_special_tokens=False)
        assert QUESTION not in text
        assert text.endswith(programs.turn(programs.LOCATE) + chat.END)
        nonsense = garbled.tokens[slice(*garbled.question)]
        assert nonsense.min() >= len(chat.SPECIAL_TOKENS)
        first, second = garbled.cells
        assert (garbled.weight[slice(*first)] > 0).all()
        assert not garbled.weight[second[0] : second[0] + samples.TOLD].any()
        assert (garbled.weight[second[0] + samples.TOLD : second[1]] > 0).all()


def test_noise_changes_nothing_but_the_question(tokenizer: object) -> None:
    row = samples.row(DIALOGUE, tokenizer)
    noisy = samples.noisy(row, 2_048, random.Random(1), 1.0)
    changed = np.flatnonzero(noisy.tokens != row.tokens)
    assert changed.size
    assert row.question[0] <= changed.min() <= changed.max() < row.question[1]


def test_muons_update_is_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    for shape in ((32, 32), (16, 48), (48, 16)):
        singular = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert 0.5 < singular.min() <= singular.max() < 1.3
        three = torch.randn(3, *shape)
        assert torch.allclose(orthogonal(three)[1], orthogonal(three[1]), atol=1e-5)


def test_a_resumed_run_is_the_same_run(tokenizer: object, tmp_path: Path) -> None:
    rows = [samples.row(DIALOGUE, tokenizer), samples.row(CALL, tokenizer, "workers yes-no")] * 3
    plan = Plan(rows=2, workers=2, steps=6, warm=2)
    shape = replace(SMALL, vocabulary=tokenizer.get_vocab_size())
    whole = Run(plan, shape)
    train(whole, rows, {}, tmp_path)
    stopped = Run(plan, shape)
    for batches in islice(Steps(rows, plan, shape.vocabulary).from_step(0), 3):
        stopped.advance(batches)
    stopped.save(tmp_path / "half.pt")
    resumed = Run.load(tmp_path / "half.pt")
    assert resumed.plan == plan
    train(resumed, rows, {}, tmp_path)
    for ours, theirs in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_run_goes_on_with_its_own_plan_data_and_tokenizer_only(
    tokenizer: object, tmp_path: Path
) -> None:
    rows = [samples.row(DIALOGUE, tokenizer), samples.row(CALL, tokenizer, "workers yes-no")]
    plan, own = Plan(steps=6), origin.data(rows)
    run = Run(plan, SMALL)
    run.goes_on(plan, own, "first")
    run.step = 3
    run.save(tmp_path / "checkpoint.pt")
    resumed = Run.load(tmp_path / "checkpoint.pt")
    resumed.goes_on(plan, origin.data(rows), "first")
    resumed.goes_on(plan, own, "second")
    assert resumed.commits == ["first", "second"]
    other = rows[0]._replace(tokens=rows[0].tokens + 1)
    with pytest.raises(ValueError, match="other data or another tokenizer"):
        resumed.goes_on(plan, origin.data([other, rows[1]]), "second")
    with pytest.raises(ValueError, match="another plan"):
        resumed.goes_on(replace(plan, steps=7), own, "second")


def test_a_new_run_may_begin_with_the_network_of_another(tmp_path: Path) -> None:
    one = Run(Plan(seed=1), SMALL)
    one.step = 3
    one.save(tmp_path / "checkpoint.pt")
    other = Run.begun(state_of(tmp_path / "checkpoint.pt"), Plan(seed=2))
    assert (other.step, other.plan.seed, other.shape) == (0, 2, SMALL)
    for mine, its in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_batches_made_ahead_are_the_same(tokenizer: object) -> None:
    rows = [samples.row(DIALOGUE, tokenizer), samples.row(CALL, tokenizer, "workers yes-no")] * 3
    steps = Steps(rows, Plan(rows=3, workers=4, steps=9), tokenizer.get_vocab_size())
    inline, ahead = (steps.from_step(4, makers) for makers in (0, 2))
    for ours, theirs in zip(inline, ahead, strict=True):
        for one, other in zip(chain(*ours), chain(*theirs), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_processes_share_a_step_between_them(tokenizer: object) -> None:
    rows = [samples.row(DIALOGUE, tokenizer), samples.row(CALL, tokenizer, "workers yes-no")] * 3
    plan, size = Plan(rows=5, workers=4, steps=2), tokenizer.get_vocab_size()
    counts = [
        [sum(len(b.tokens) for b in group) for group in Steps(rows, plan, size, part)[1]]
        for part in (Part(0, 1), Part(0, 2), Part(1, 2))
    ]
    assert counts == [[5, 4], [3, 2], [2, 2]]


def test_packed_rows_are_the_rows(tokenizer: object, tmp_path: Path) -> None:
    rows = [samples.row(CALL, tokenizer, "workers yes-no"), samples.row(DIALOGUE, tokenizer, "x")]
    packed.write(tmp_path / "rows.npz", rows)
    for ours, theirs in zip(rows, packed.read(tmp_path / "rows.npz"), strict=True):
        assert ours._replace(tokens=0, weight=0) == theirs._replace(tokens=0, weight=0)
        assert np.array_equal(ours.tokens, theirs.tokens)
        assert np.array_equal(ours.weight, theirs.weight)


def test_a_probe_tells_choices_from_cells(tokenizer: object) -> None:
    rows = [samples.row(DIALOGUE, tokenizer, "needle"), samples.row(CALL, tokenizer, "workers")]
    run = Run(Plan(), replace(SMALL, vocabulary=tokenizer.get_vocab_size()))
    found = probe(run, rows)
    assert set(found) == {"needle", "workers", "insides of cells"}
    assert set(found.values()) == {0.0}


def test_curves_have_a_panel_for_the_loss_and_one_a_probe() -> None:
    log = [
        {"step": 20, "losses": [2.0, 1.0]},
        {"step": 40, "losses": [1.0, 0.5], "probes": {"held": {"tables": 0.5}}},
    ]
    assert curves(log) == {
        "loss": {"root dialogues": [(20, 2.0), (40, 1.0)], "sub-calls": [(20, 1.0), (40, 0.5)]},
        "right: held": {"tables": [(40, 0.5)]},
    }


def test_a_network_sees_nothing_that_comes_later() -> None:
    network = Network(SMALL)
    tokens = torch.randint(0, 2_048, (1, 12))
    positions = torch.arange(12)[None]
    before = network(tokens, positions)[0, :6]
    tokens[0, 6:] = 7
    assert torch.allclose(network(tokens, positions)[0, :6], before, atol=1e-6)
