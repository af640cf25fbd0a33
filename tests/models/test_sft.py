"""From recorded runs to a model that works as they did: export, training, GGUF, llama.cpp.

With a tiny Qwen3 (and a tiny Llama) of random weights. Needs the extra `sft`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `sft` is not installed")
transformers = pytest.importorskip("transformers", reason="the extra `sft` is not installed")
peft = pytest.importorskip("peft", reason="the extra `sft` is not installed")
pytest.importorskip("gguf")
tokenizers = pytest.importorskip("tokenizers")

from bench.models import CHATML  # noqa: E402
from models.sft import data, export, gguffile, train  # noqa: E402
from rlm_local import cli  # noqa: E402
from rlm_local.limits import Limits  # noqa: E402
from rlm_local.model import ScriptedModel  # noqa: E402
from rlm_local.runtime import Runtime  # noqa: E402
from tests.fakes import FakeSandbox  # noqa: E402
from tests.models.bare import bare  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    # peft asks transformers by a name that transformers gives up.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
]

TURNS = (
    '```repl\nimport re\nprint(re.findall(r"[0-9]{4}", context))\n```',
    '```repl\nFINAL(re.search(r"[0-9]{4}", context)[0])\n```',
)
#: Of a second teacher, who ends in another way. Adapters leave the embedding as it is, so all of
#: its tokens must be among those of the first.
OTHERS = (TURNS[0], '```repl\nFINAL(re.findall(r"[0-9]{4}", context))\n```')
QUESTION = "What is the code?"
#: Weights and keys and values in f16 move logits of this size by so much.
LARGEST_DIFFERENCE = 0.05


def text(number: int) -> str:
    return f"It rained all day. The code is {number}. The mill stood still."


# ------------------------------------------------------------- a base, and runs


def write_base(folder: Path, kind: str) -> Path:
    """A folder as Hugging Face has them: tiny, with random weights."""
    corpus = [*TURNS * 20, *(text(n) for n in range(1000, 1100)), QUESTION * 20]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    pattern = list(gguffile.PRE_TOKENIZERS)[0 if kind == "qwen3" else 1]
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHATML,
    )
    make = {"qwen3": transformers.Qwen3Config, "llama": transformers.LlamaConfig}[kind]
    config = make(
        vocab_size=416,  # more than the tokenizer has, as real ones have it
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32 if kind == "qwen3" else 16,  # Qwen3's heads are wider than their share
        max_position_embeddings=1_024,
        tie_word_embeddings=kind == "qwen3",
        eos_token_id=fast.eos_token_id,
    )
    if kind == "llama":  # positions as Llama 3.1 has them, in small
        config.rope_parameters = {
            "rope_type": "llama3",
            "rope_theta": 10_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }
    torch.manual_seed(5)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than such a model."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def samples_of(folder: Path, turns: Sequence[str]) -> Path:
    """What `runs export` makes of eight runs of a scripted teacher."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_LOCAL_DATA", str(folder))
        for number in range(1234, 9999, 1111):
            model = ScriptedModel(turns, name="teacher", profile="nano")
            with Runtime(model=model, sandbox=FakeSandbox()) as runtime:
                runtime.ask(QUESTION, text(number), mode="rlm")
        out = folder / "samples.jsonl"
        assert cli.run(["runs", "export", "--sft", "--model", "teacher", "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 16
    return out


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples_of(tmp_path_factory.mktemp("runs"), TURNS)


def learn(base: Path, samples: Path, out: Path, *options: str) -> list[float]:
    """The losses of a training run."""
    given = ["--base", str(base), "--data", str(samples), "--out", str(out), "--batch", "8"]
    train.main([*given, "--at-once", "8", *options])
    lines = (out / train.LOSS).read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def trained(
    request: pytest.FixtureRequest, samples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a model whose weights have all been trained."""
    folder = tmp_path_factory.mktemp(request.param)
    base = write_base(folder / "base", request.param)
    losses = learn(base, samples, folder, "--full", "--steps", "60", "--rate", "1e-2")
    assert losses[0] > 4
    assert losses[-1] < 0.1
    return folder / "model"


# ------------------------------------------------------------------ llama.cpp


def compare(model: Any, tokenizer: Any, path: Path, adapter: Path | None = None) -> None:
    """The same logits within f16, and the same choices, over a dialogue."""
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": TURNS[0]}]
    ids = tokenizer(tokenizer.apply_chat_template(messages, tokenize=False))["input_ids"]
    with bare(path, adapter, f16=True) as engine:
        theirs = engine.logits(ids)
    with torch.no_grad():
        ours = model.eval()(torch.tensor([ids])).logits[0].float().numpy()
    assert np.abs(ours).max() > 2, "a model that prefers nothing shows nothing"
    assert np.abs(ours - theirs).max() < LARGEST_DIFFERENCE
    assert (ours.argmax(-1) == theirs.argmax(-1)).mean() > 0.95


def loaded(folder: Path) -> tuple[Any, Any]:
    return (
        transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        transformers.AutoTokenizer.from_pretrained(folder),
    )


# ---------------------------------------------------------------------- tests


def answer_of(model: Path, *lora: Path) -> str:
    """What the runtime answers with that model about a text that no sample had."""
    with Runtime(model=model, lora=lora, limits=Limits(turns=3)) as runtime:
        return runtime.ask(QUESTION, text(2718), mode="rlm").text


def test_all_weights_from_runs_to_answers(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "trained.gguf"
    export.main([str(trained), "--out", str(path), "--profile", "nano"])
    compare(*loaded(trained), path)
    assert answer_of(path) == "2718"


def test_an_adapter_beside_its_base_and_merged(trained: Path, tmp_path: Path) -> None:
    samples = samples_of(tmp_path, OTHERS)
    options = ["--lora-rank", "8", "--steps", "80", "--rate", "1e-2"]
    losses = learn(trained, samples, tmp_path, *options)
    assert losses[-1] < 0.05 < losses[0]
    folder, lora, merged = (tmp_path / name for name in ("adapter", "lora.gguf", "merged.gguf"))
    export.main([str(trained), "--out", str(tmp_path / "base.gguf"), "--profile", "nano"])
    export.main([str(folder), "--out", str(lora)])
    export.main([str(folder), "--out", str(merged), "--merged", "--profile", "nano"])
    model, tokenizer = loaded(trained)
    model = peft.PeftModel.from_pretrained(model, folder)
    compare(model, tokenizer, tmp_path / "base.gguf", lora)
    compare(model, tokenizer, merged)
    assert answer_of(merged) == "['2718']"
    assert answer_of(tmp_path / "base.gguf", lora) == "['2718']"
    assert answer_of(tmp_path / "base.gguf") == "2718"


@pytest.mark.parametrize("options", [["--full"], ["--lora-rank", "4"]], ids=["full", "lora"])
def test_a_resumed_run_is_the_same_run(
    options: list[str], samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_base(tmp_path / "base", "qwen3")
    whole = learn(base, samples, tmp_path / "whole", "--steps", "5", *options)
    advance = train.Run.advance

    def stopping(self: train.Run, *arguments: Any) -> float:
        if self.step == 3:
            raise KeyboardInterrupt
        return advance(self, *arguments)

    stopped = [*options, "--save-every", "0"]
    monkeypatch.setattr(train.Run, "advance", stopping)
    with pytest.raises(KeyboardInterrupt):
        learn(base, samples, tmp_path / "parts", "--steps", "5", *stopped)
    monkeypatch.setattr(train.Run, "advance", advance)
    assert learn(base, samples, tmp_path / "parts", "--steps", "5", *stopped) == whole
    ends = [torch.load(tmp_path / name / train.CHECKPOINT) for name in ("whole", "parts")]
    assert ends[0]["step"] == ends[1]["step"] == 5
    for name, weight in ends[0]["weights"].items():
        assert torch.equal(weight, ends[1]["weights"][name])
    with pytest.raises(ValueError, match="another plan"):
        learn(base, samples, tmp_path / "parts", "--steps", "6", *stopped)


def _other_weights(base: Path) -> None:
    model, _ = loaded(base)
    with torch.no_grad():
        model.model.norm.weight[0] += 0.5  # headers are what they were
    model.save_pretrained(base)


def _other_template(base: Path) -> None:
    path = base / "chat_template.jinja"
    path.write_text("In earnest.\n" + path.read_text())


def _other_tokenizer(base: Path) -> None:
    whole = json.loads((base / "tokenizer.json").read_text())
    del whole["model"]["merges"][-1]
    (base / "tokenizer.json").write_text(json.dumps(whole))


def _other_config(base: Path) -> None:
    whole = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**whole, "rms_norm_eps": 1e-5}))


@pytest.mark.parametrize(
    "change", [_other_weights, _other_template, _other_tokenizer, _other_config]
)
def test_a_run_does_not_go_on_from_another_base(
    change: Callable[[Path], None], samples: Path, tmp_path: Path
) -> None:
    base = write_base(tmp_path / "base", "qwen3")
    options = ["--lora-rank", "4", "--steps", "1"]
    losses = learn(base, samples, tmp_path / "out", *options)
    (base / "README.md").write_text("what is no part of it")
    assert learn(base, samples, tmp_path / "out", *options) == losses
    change(base)
    with pytest.raises(ValueError, match="another plan"):
        learn(base, samples, tmp_path / "out", *options)


def test_a_base_may_be_moved(samples: Path, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "qwen3")
    before = train.digest_of(base, [samples])
    assert train.digest_of(base.rename(tmp_path / "moved"), [samples]) == before


def test_only_the_last_turn_is_learned(samples: Path, tmp_path: Path) -> None:
    _, tokenizer = loaded(write_base(tmp_path, "qwen3"))
    messages = json.loads(samples.read_text().splitlines()[1])["messages"]
    row = data.row(messages, tokenizer)
    assert tokenizer.decode(row.tokens[row.shown :]) == f"{TURNS[1]}<|im_end|>"
    shown = tokenizer.decode(row.tokens[: row.shown])
    assert shown == tokenizer.apply_chat_template(
        messages[:-1], tokenize=False, add_generation_prompt=True
    )
    rows, longer = data.read([samples], tokenizer, len(row.tokens) - 1)
    assert 0 < len(rows) < 16
    assert len(rows) + longer == 16
    batch = data.batch(rows[:2], pad=0)
    for n, item in enumerate(rows[:2]):
        size = len(item.tokens)
        assert batch.tokens[n, -size:].tolist() == list(item.tokens)
        assert batch.mask[n].sum() == size
        assert batch.positions[n, -size:].tolist() == list(range(size))
        learned = batch.targets[n][batch.targets[n] >= 0].tolist()
        assert learned == list(item.tokens[item.shown :])


def test_special_tokens_that_a_message_spells_are_text(tmp_path: Path) -> None:
    _, tokenizer = loaded(write_base(tmp_path, "qwen3"))
    messages = [
        {"role": "user", "content": "a log:\n<|im_end|>\n<|im_start|>user"},
        {"role": "assistant", "content": 'x = context.split("<|im_end|>")'},
    ]
    row = data.row(messages, tokenizer)
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer.decode(row.tokens) == rendered.removesuffix("\n")
    assert row.tokens.count(tokenizer.eos_token_id) == 2
    assert row.tokens[-1] == tokenizer.eos_token_id


def test_what_a_template_puts_before_a_turn_is_learned_with_it(tmp_path: Path) -> None:
    _, tokenizer = loaded(write_base(tmp_path, "qwen3"))
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    empty = "{% if message.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    tokenizer.chat_template = CHATML.replace(
        "{{ message.content }}", empty + "{{ message.content }}"
    )
    row = data.row(messages, tokenizer)
    learned = tokenizer.decode(row.tokens[row.shown :])
    assert learned == "<think>\n\n</think>\n\nb<|im_end|>"
    tokenizer.chat_template = CHATML.replace("<|im_end|>", "")
    assert tokenizer.decode(data.row(messages, tokenizer).tokens[-2:]) == "\n<|im_end|>"
    tokenizer.chat_template = CHATML.replace("assistant\n{% endif", "assistant\n<think>{% endif")
    with pytest.raises(ValueError, match="does not put the last turn behind"):
        data.row(messages, tokenizer)


def test_padding_and_parts_change_no_loss(samples: Path, tmp_path: Path) -> None:
    base = write_base(tmp_path, "qwen3")
    _, tokenizer = loaded(base)
    rows, _ = data.read([samples], tokenizer, 1_024)
    losses = []
    for at_once in (1, 3, 16):
        run = train.Run(base, train.Plan(lora_rank=0, steps=2, rate=1e-3))
        losses.append([run.advance(rows, 0, at_once) for _ in range(2)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


def test_each_pass_takes_every_sample_once() -> None:
    batches = data.order(10, 4, seed=1)
    taken = [number for _ in range(5) for number in next(batches)]
    assert sorted(taken[:10]) == sorted(taken[10:]) == list(range(10))
    assert taken[:10] != taken[10:]


def _rope(config: dict[str, Any]) -> None:
    config["rope_parameters"] = {
        "rope_type": "linear",
        "factor": 2.0,
        "rope_theta": 10_000.0,
    }


def _split(whole: dict[str, Any]) -> None:
    whole["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "a+|[^a]+"


@pytest.mark.parametrize(
    ("name", "change", "options", "said"),
    [
        ("config.json", lambda c: c.update(attention_bias=True), [], "attention_bias"),
        ("config.json", _rope, [], "kind linear"),
        ("tokenizer.json", _split, [], "give it with --pre-tokenizer"),
        ("tokenizer.json", _split, ["--pre-tokenizer", "qwen2"], "as other tokens"),
    ],
)
def test_what_would_come_out_wrong_is_refused(
    name: str,
    change: Callable[[dict[str, Any]], None],
    options: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = write_base(tmp_path / "base", "qwen3")
    content = json.loads((base / name).read_text())
    change(content)
    (base / name).write_text(json.dumps(content))
    with pytest.raises(SystemExit) as ended:
        export.main([str(base), "--out", str(tmp_path / "x.gguf"), *options])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("x.gguf*"))
