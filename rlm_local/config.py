"""Settings from a TOML file, checked key by key.

    model = "rlm-nano"          # a catalogue name, a path, or the URL of a server
    sub_model = "small.gguf"    # for the sub-calls; by default the same
    lora = ["style.gguf:0.5"]   # LoRA adapters for the model
    sub_lora = []               # and for the sub-model
    mode = "auto"               # auto, direct or rlm
    turn_form = "auto"          # auto, free or block
    seed = 0
    reuse_calls = false         # sub-calls may have the replies of earlier runs
    speculate = true            # tokens are guessed where that is faster
    draft_model = "tiny.gguf"   # a small model that guesses those of the model
    replace_bad_bytes = false
    context_tokens = 8192       # the model's window; by default as it fits
    threads = 4                 # that each model computes with
    kv_type = "auto"            # auto, f16 or q8_0
    gpu_layers = "auto"         # auto, or a number

    [limits]
    wall_seconds = "10m"        # a number of seconds, or a time with units
    guest_memory_bytes = "512MiB"

The keys of `[limits]` are the fields of `Limits`. A key that is not known is
refused, with the nearest known one in the hint.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin

import msgspec

from rlm_local.catalog import DEFAULT_MODEL, adapter
from rlm_local.errors import ConfigError
from rlm_local.limits import Limits
from rlm_local.options import ModelOptions
from rlm_local.records import Adapter, Mode, TurnForm
from rlm_local.units import parse_bytes, parse_seconds

#: As many as llama.cpp is made for (GGML_MAX_N_THREADS).
MOST_THREADS = 512


class Config(ModelOptions, frozen=True):
    """Everything that can be set for a question, beside the question and its prompt.

    `lora` and `sub_lora` are adapters, each "FILE" or "FILE:SCALE". `draft_model` is a
    small one with the same tokens, which guesses those of `model`, if `speculate`.
    """

    model: str = DEFAULT_MODEL
    sub_model: str | None = None
    lora: tuple[str, ...] = ()
    sub_lora: tuple[str, ...] = ()
    mode: Mode = "auto"
    turn_form: TurnForm = "auto"
    seed: int = 0
    reuse_calls: bool = False
    replace_bad_bytes: bool = False
    draft_model: str | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        for name, least in (("context_tokens", 1), ("threads", 1), ("gpu_layers", 0)):
            value = getattr(self, name)
            if isinstance(value, int) and value < least:
                raise ConfigError(
                    f"{name} is {value}; it must be at least {least}",
                    hint=f"raise {name}, or leave it out: then it is chosen as suits the machine",
                )
        if self.threads is not None and self.threads > MOST_THREADS:
            raise ConfigError(
                f"threads is {self.threads}; it may be at most {MOST_THREADS}",
                hint="lower threads, or leave it out: then it is chosen as suits the machine",
            )

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that are asked, and of what guesses for them."""
        names = (self.model, self.sub_model, self.draft_model if self.speculate else None)
        return tuple(name for name in names if name is not None)

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The adapters of all of them."""
        return tuple(map(adapter, (*self.lora, *self.sub_lora)))


def read_config(path: Path) -> Config:
    """The settings in the TOML file `path`. Raises ConfigError, which names the file."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            f"the configuration {path} cannot be read: {error.strerror}",
            hint="name a TOML file of settings",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}", hint="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path} is not TOML: {error}",
            hint='write a line for each setting; text is in quotes, as in model = "rlm-nano"',
        ) from error
    try:
        return change(Config(), table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}", hint=error.hint) from error


def change(config: Config, values: Mapping[str, object]) -> Config:
    """`config` with the keys of `values` in place of its own. Raises ConfigError."""
    fields = {field.name: field.type for field in msgspec.structs.fields(Config)}
    _refuse_unknown(values, fields, _LIMIT_NAMES)
    changed = msgspec.structs.asdict(config)
    for key, value in values.items():
        changed[key] = (
            change_limits(config.limits, value)
            if key == "limits"
            else _converted(key, value, fields[key])
        )
    return Config(**changed)


def change_limits(limits: Limits, values: object) -> Limits:
    """`limits` with some fields replaced; times and sizes may be text with units."""
    if not isinstance(values, Mapping):
        raise ConfigError("`limits` is not a table", hint="write [limits], then one key a line")
    fields = {field.name: field.type for field in msgspec.structs.fields(Limits)}
    _refuse_unknown(values, fields, _OTHER_NAMES, prefix="limits.")
    changed = msgspec.structs.asdict(limits)
    for key, value in values.items():
        parse = _UNITS.get(key.rpartition("_")[2]) if isinstance(value, str) else None
        if parse is None:
            changed[key] = _converted(f"limits.{key}", value, fields[key])
            continue
        try:
            changed[key] = parse(value)
        except ConfigError as error:
            raise ConfigError(f"limits.{key}: {error}", hint=error.hint) from error
    return Limits(**changed)


#: What the limits of these endings may be written as, beside plain numbers.
_UNITS: dict[str, Callable[[str], float]] = {"seconds": parse_seconds, "bytes": parse_bytes}
_LIMIT_NAMES = Limits.__struct_fields__
_OTHER_NAMES = tuple(name for name in Config.__struct_fields__ if name != "limits")


def _converted(key: str, value: object, kind: object) -> object:
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key} is {value!r}; it must be {_written(kind)}") from error


#: How values of a type are written in a TOML file.
_WRITTEN: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    tuple: 'a list of texts, like ["FILE"]',
}


def _written(kind: object) -> str:
    origin = get_origin(kind)
    if origin is tuple or not get_args(kind):
        return _WRITTEN.get(origin or kind, "")
    if origin is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(kind))
    return " or ".join(text for text in map(_written, get_args(kind)) if text)


def _refuse_unknown(
    values: Iterable[str], known: Iterable[str], elsewhere: Iterable[str], *, prefix: str = ""
) -> None:
    """Raise ConfigError for a key that is not `known`; `elsewhere` are those of the other table."""
    names = list(known)
    for key in values:
        if key in names:
            continue
        near = difflib.get_close_matches(key, names, n=1) or [name for name in names if key in name]
        if key in elsewhere:
            hint = (
                "write it above the line [limits]" if prefix else "write it below a line [limits]"
            )
        elif near:
            hint = f"did you mean {' or '.join(map(repr, near))}?"
        else:
            hint = f"known are {', '.join(names)}"
        raise ConfigError(f"unknown key {prefix + key!r}", hint=hint)
