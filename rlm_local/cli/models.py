"""`rlm-local models`: what there is, before a question needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from rlm_local.cli import completion
from rlm_local.cli.options import (
    beside_options,
    draft_option,
    json_option,
    memory_option,
    memory_options,
)
from rlm_local.cli.printing import as_object, complain, print_json, print_text
from rlm_local.errors import UsageError
from rlm_local.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from rlm_local.engines import Room, Wanted
    from rlm_local.llama import MemoryPlan
    from rlm_local.llama.drafting import Draft
    from rlm_local.records import KvChoice, LayerChoice


@click.group()
def models() -> None:
    """Look at the models, before a question needs one.

    MODEL is a name that `models list` shows, or the path of a GGUF file.
    """


@models.command("list")
@json_option("Print a JSON array.")
def models_list(as_json: bool) -> None:
    """List the models that go by a name."""
    from rlm_local import catalog

    known = list(catalog.models().values())
    if as_json:
        print_json([{**as_object(model), "present": model.present} for model in known])
        return
    for model in known:
        size = format_bytes(model.path.stat().st_size) if model.present else "missing"
        print_text(f"{model.name:<16} {size:>9}  {model.about or model.path}")


@models.command("info")
@click.argument("model", shell_complete=completion.models)
@json_option("Print one JSON object.")
def models_info(model: str, as_json: bool) -> None:
    """Show what the file of MODEL says of it, without loading it."""
    from rlm_local import catalog
    from rlm_local.llama import inspect
    from rlm_local.llama.model import thinks

    listed = catalog.present(model)
    file = inspect(listed.path)
    if as_json:
        print_json(file)
        return
    _print_table(
        {
            "name": file.name,
            "file": f"{file.path} ({format_bytes(file.file_bytes)})",
            "architecture": f"{file.architecture}, {file.layers} layers of width {file.width:,}",
            "parameters": f"{file.parameters:,}",
            "weights": f"{format_bytes(file.weight_bytes)}, {file.quantization}",
            "window": f"{file.context_tokens:,} tokens as trained",
            "vocabulary": f"{file.vocabulary:,} tokens, {file.tokenizer}",
            "chat template": "its own" if file.template else "none; a plain one is used",
            "thinks": "yes" if thinks(file) else "no",
            "profile": file.profile,
            "licence": file.license or listed.licence or "not stated",
        }
    )


@models.command("plan")
@click.argument("model", shell_complete=completion.models)
@beside_options
@draft_option
@memory_option
@memory_options
@json_option("Print one JSON object; with a sub-model, one with `model` and `sub_model`.")
def models_plan(
    model: str,
    sub_model: str | None,
    lora: tuple[str, ...],
    sub_lora: tuple[str, ...],
    draft_model: str | None,
    model_memory_bytes: int | None,
    context_tokens: int | None,
    kv_type: KvChoice | None,
    gpu_layers: LayerChoice | None,
    as_json: bool,
) -> None:
    """Show the memory that MODEL would take, without loading it.

    With a sub-model, what each would take of the limit, which is for both, and for a draft
    model too. One on a server takes nothing here.
    """
    from rlm_local.engines import Rooms, Wanted, check_remote, wanted
    from rlm_local.limits import Limits
    from rlm_local.options import ModelOptions

    limit = Limits().model_memory_bytes if model_memory_bytes is None else model_memory_bytes
    options = ModelOptions(
        kv_type=kv_type or "auto", gpu_layers="auto" if gpu_layers is None else gpu_layers
    )
    both = {"model": wanted(model, lora, context_tokens, draft_model)}
    if sub_model is not None or sub_lora:
        both["sub_model"] = wanted(sub_model or model, sub_lora)
    rooms = Rooms(both["model"], both.get("sub_model"), limit, options)
    plans = {}
    for role, each in both.items():
        if each in rooms.local and isinstance(each, Wanted):
            plans[role] = _plan(each, rooms.of(each), options.kv_type)
        elif isinstance(each, Wanted):
            check_remote(each.name, each.adapters)
    if not plans:
        raise UsageError(
            f"{model} is on another machine, and takes no memory of this one",
            hint="name a model that is run here: of `models list`, or a GGUF file",
        )
    if as_json:
        printed = {role: _plan_object(*made) for role, made in plans.items()}
        print_json(printed["model"] if plans.keys() == {"model"} else printed)
        return
    tables = []
    for role, (made, draft) in plans.items():
        tables.append((_TITLES[role], made))
        if draft is not None:
            tables.append(("for guesses", draft.plan))
    for title, made in tables:
        rows = _plan_rows(made)
        _print_table(
            rows if plans.keys() == {"model"} and len(tables) == 1 else {title: "", **rows}
        )
    if len(tables) > 1:
        together = sum(made.host_bytes for _, made in tables)
        how_many = "both" if len(tables) == 2 else "all"
        print_text(f"{how_many} together {format_bytes(together)} of {format_bytes(limit)}")


_TITLES = {"model": "for turns", "sub_model": "for sub-calls"}


def _plan(model: Wanted, room: Room, kv_type: KvChoice) -> tuple[MemoryPlan, Draft | None]:
    """As for the loading of `model` in its `room`."""
    from rlm_local import catalog
    from rlm_local.llama import inspect
    from rlm_local.llama.drafting import plan_with
    from rlm_local.llama.model import physical_bytes, usable_gpus

    gpus = usable_gpus(room.gpu_layers, notice=complain)
    return plan_with(
        inspect(catalog.present(model.name).path, model.adapters),
        None if model.draft is None else catalog.present(model.draft).path,
        memory_bytes=min(room.memory_bytes, physical_bytes()),
        context_tokens=room.context_tokens,
        kv_type=kv_type,
        gpus=[gpu.share(room.gpu_share) for gpu in gpus],
        gpu_layers=room.gpu_layers,
    )


def _plan_object(made: MemoryPlan, draft: Draft | None = None) -> dict[str, object]:
    beside = {} if draft is None else {"draft_model": _plan_object(draft.plan)}
    sums = {"total_bytes": made.total_bytes, "host_bytes": made.host_bytes}
    return {**as_object(made), **sums, **beside}


def _plan_rows(made: MemoryPlan) -> dict[str, object]:
    adapters = {"adapters": format_bytes(made.adapter_bytes)} if made.adapter_bytes else {}
    return {
        "weights": format_bytes(made.weight_bytes),
        **adapters,
        "KV cache": f"{format_bytes(made.kv_bytes)} for {made.cells:,} tokens in "
        + made.kv_type
        + (f" ({made.kv_reason})" if made.kv_reason else ""),
        "computing": format_bytes(made.compute_bytes + made.output_bytes),
        "process": format_bytes(made.process_bytes),
        "GPU": _on_gpu(made),
        "in all": f"{format_bytes(made.host_bytes)} of {format_bytes(made.limit_bytes)}",
        "window": f"{made.context_tokens:,} of {made.trained_tokens:,} tokens",
        "together": f"up to {made.parallel} sub-calls",
    }


@models.command("verify")
@click.argument("model", shell_complete=completion.models)
@memory_option
@json_option("Print one JSON object.")
def models_verify(model: str, model_memory_bytes: int | None, as_json: bool) -> None:
    """Check the file of MODEL: its digest, its structure, and every weight by loading it."""
    import time

    from rlm_local import catalog
    from rlm_local.limits import Limits
    from rlm_local.llama import verify

    began = time.monotonic()
    file = catalog.verified(model)
    limit = Limits().model_memory_bytes if model_memory_bytes is None else model_memory_bytes
    verify(file.path, memory_bytes=limit)
    seconds = time.monotonic() - began
    digest = catalog.digest(file.path)
    if as_json:
        print_json({**as_object(file), "sha256": digest, "listed": bool(file.sha256)})
        return
    print_text(f"{file.path} is whole ({format_seconds(seconds)})")
    print_text(f"sha256 {digest}{'' if file.sha256 else ' (not listed, so not compared)'}")


def _on_gpu(made: MemoryPlan) -> str:
    if not made.gpus:
        return "no layers"
    names = ", ".join(
        f"{gpu.description} ({format_bytes(gpu.free_bytes)} free)" for gpu in made.gpus
    )
    layers = f"{made.gpu_layers} of {made.model_layers + 1} layers on {names}"
    own = f", {format_bytes(made.device_bytes)} in its own memory" if made.device_bytes else ""
    return f"{layers}{own}"


def _print_table(rows: Mapping[str, object]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        print_text(f"{name:<{width}}  {value}")
