"""How the models of a run are loaded, as far as that is not left to the engine."""

from __future__ import annotations

from typing import Any

from rlm_local.records import KvChoice, LayerChoice, Record


class ModelOptions(Record, frozen=True, kw_only=True):
    """Options of the models of a run; None and "auto" leave the choice to the engine.

    `context_tokens` is the window of the model that takes turns, `threads` what each model
    computes with, `kv_type` how its KV cache is stored, `gpu_layers` how many of its layers
    are on a GPU, and of a sub-model's, if it has as many, else all. `speculate`: guess
    tokens where that is faster.
    """

    context_tokens: int | None = None
    threads: int | None = None
    kv_type: KvChoice = "auto"
    gpu_layers: LayerChoice = "auto"
    speculate: bool = True

    def by_name(self) -> dict[str, Any]:
        """These options, without what a record that extends them has besides."""
        return {name: getattr(self, name) for name in ModelOptions.__struct_fields__}
