"""Settings: each key checked, nothing guessed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rlm_local.config import Config, change, read_config
from rlm_local.errors import ConfigError
from rlm_local.limits import MIB, Limits


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return read_config(path)


def test_an_empty_file_gives_the_defaults(tmp_path: Path):
    assert read(tmp_path, "") == Config()


def test_every_key(tmp_path: Path):
    config = read(
        tmp_path,
        """
        model = "big.gguf"
        mode = "rlm"
        turn_form = "block"
        seed = 7
        replace_bad_bytes = true
        speculate = false
        draft_model = "small.gguf"
        context_tokens = 4096
        threads = 2
        [limits]
        wall_seconds = "1m30s"
        cell_seconds = 5
        guest_memory_bytes = "64MiB"
        turns = 3
        """,
    )
    assert config == Config(
        model="big.gguf",
        mode="rlm",
        turn_form="block",
        seed=7,
        replace_bad_bytes=True,
        speculate=False,
        draft_model="small.gguf",
        context_tokens=4096,
        threads=2,
        limits=Limits(wall_seconds=90.0, cell_seconds=5.0, guest_memory_bytes=64 * MIB, turns=3),
    )


def test_the_models_of_a_run():
    assert Config(model="a", sub_model="b", draft_model="c").models == ("a", "b", "c")
    assert Config(model="a").models == ("a",)
    assert Config(model="a", draft_model="c", speculate=False).models == ("a",)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('modell = "x"', "unknown key 'modell'", "did you mean 'model'?"),
        ("[limits]\nwall_second = 3", "unknown key 'limits.wall_second'", "'wall_seconds'"),
        ("zzz = 1", "unknown key 'zzz'", "known are model, sub_model"),
        ("limits = 3", "not a table", "[limits]"),
        ("turns = 3", "unknown key 'turns'", "below a line [limits]"),
        ("[limits]\nseed = 3", "unknown key 'limits.seed'", "above the line [limits]"),
        (
            '[limits]\nmemory = "8GiB"',
            "unknown key 'limits.memory'",
            "did you mean 'guest_memory_bytes' or 'model_memory_bytes'?",
        ),
        (
            'turn_form = "fast"',
            """turn_form is 'fast'; it must be "auto" or "free" or "block\"""",
            "",
        ),
        ('mode = "fast"', """mode is 'fast'; it must be "auto" or "direct" or "rlm\"""", ""),
        ('seed = "x"', "seed is 'x'; it must be a whole number", ""),
        ("seed = true", "seed is True; it must be a whole number", ""),
        ("model = 5", "model is 5; it must be text in quotes", ""),
        ('threads = "4"', "threads is '4'; it must be a whole number", ""),
        ('gpu_layers = "all"', """gpu_layers is 'all'; it must be a whole number or "auto\"""", ""),
        ('lora = "a.gguf"', """lora is 'a.gguf'; it must be a list of texts, like ["FILE"]""", ""),
        ("speculate = 1", "speculate is 1; it must be true or false", ""),
        ("[limits]\nturns = 0", "the limit turns is 0", ""),
        ("[limits]\nturns = -4", "the limit turns is -4", ""),
        ("[limits]\nturns = 1.5", "limits.turns is 1.5; it must be a whole number", ""),
        ("[limits]\nwall_seconds = 0", "the limit wall_seconds is 0", ""),
        ("[limits]\nwall_seconds = nan", "the limit wall_seconds is nan", ""),
        ('[limits]\nwall_seconds = "soon"', "limits.wall_seconds: 'soon' is not a time", "90s"),
        (
            '[limits]\nguest_memory_bytes = "lots"',
            "limits.guest_memory_bytes: 'lots' is not a size",
            "512MiB",
        ),
        ("threads = 0", "threads is 0", "raise threads, or leave it out"),
        ("threads = 513", "threads is 513; it may be at most 512", "lower threads, or leave it"),
        ("model = rlm-nano", "is not TOML", "text is in quotes"),
    ],
)
def test_what_is_refused_names_file_figure_and_way_out(
    tmp_path: Path, text: str, message: str, hint: str
):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "settings.toml" in str(caught.value)
    assert hint in caught.value.hint


def test_the_readme_s_file_is_one(tmp_path: Path):
    text = (Path(__file__).parent.parent / "README.md").read_text()
    _, found = text.split("```toml\n")
    config = read(tmp_path, found.split("```")[0])
    assert (config.threads, config.limits.wall_seconds) == (4, 600.0)
    assert config.limits.model_memory_bytes == 8 << 30


def test_a_missing_or_binary_file(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_config(tmp_path / "binary")


def test_changes_build_on_what_was_there():
    first = change(Config(), {"limits": {"turns": 3}, "seed": 1})
    second = change(first, {"limits": {"tokens": 5}})
    assert second == Config(seed=1, limits=Limits(turns=3, tokens=5))


def test_every_limit_has_an_option():
    from rlm_local.cli.options import LIMITS

    fields = {field.name for field in msgspec.structs.fields(Limits)}
    # Bounds on what reaches the model and the user, not on what a run costs.
    assert {field for field, _, _ in LIMITS.values()} == fields - {"output_chars", "answer_bytes"}
