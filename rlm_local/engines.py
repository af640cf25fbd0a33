"""The models of a run: the one that takes turns, and the one that its code's plain calls go to.

They are loaded side by side, each in a worker of its own, and one limit holds for the
memory of both. Both may use all cores: they seldom compute at the same moment, and where
they do, each sees that the cores are taken and does with fewer threads (`llama.threads`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rlm_local import catalog
from rlm_local.errors import ConfigError, UsageError
from rlm_local.model import Model
from rlm_local.options import ModelOptions
from rlm_local.records import Adapter, LayerChoice
from rlm_local.remote import is_url
from rlm_local.starting import Starting

#: LoRA adapters: each a file, "FILE:SCALE", or an Adapter.
Lora = Sequence[str | Path | Adapter]
#: Called with what is done and what there is, in bytes.
Report = Callable[[int, int], None]


class Wanted(NamedTuple):
    """A model that is to be loaded: a name or a path, its LoRA adapters, its window (None: as
    it fits), and the name or path of a small one that guesses its tokens."""

    name: str | Path
    adapters: tuple[Adapter, ...] = ()
    context_tokens: int | None = None
    draft: str | Path | None = None


class Room(NamedTuple):
    """What a model may take of the machine: `context_tokens` is None where it is left to it,
    `gpu_share` its part of what is free on GPUs, `gpu_layers` what of it is to be there."""

    memory_bytes: int
    context_tokens: int | None
    gpu_share: float = 1.0
    gpu_layers: LayerChoice = "auto"


#: Loads a model.
Load = Callable[[Wanted, Room, Report], Model]


class Engines:
    """One model or two, which begin to load at once. Those handed over ready are not closed."""

    def __init__(
        self,
        model: Wanted | Model,
        sub_model: Wanted | Model | None,
        load: Load,
        *,
        memory_bytes: int,
        options: ModelOptions = ModelOptions(),  # noqa: B008  # frozen
        report: Callable[[str], Report],
    ) -> None:
        """`report` gives what is told of the loading under a heading."""
        self._rooms = Rooms(model, sub_model, memory_bytes, options)
        self._root = self._begin(model, load, report("loading"))
        self._sub = (
            None
            if sub_model is None
            else self._begin(sub_model, load, report("loading the sub-model"))
        )

    def _begin(self, model: Wanted | Model, load: Load, report: Report) -> Model | Starting[Model]:
        if not isinstance(model, Wanted):
            return model
        return Starting(lambda: load(model, self._rooms.of(model), report))

    @property
    def model(self) -> Model:
        """The model that takes turns, once it is loaded. Raises ModelError."""
        return _ready(self._root)

    @property
    def sub_model(self) -> Model:
        """The model for plain calls: the same, unless there are two. Raises ModelError."""
        return self.model if self._sub is None else _ready(self._sub)

    @property
    def two(self) -> bool:
        return self._sub is not None

    def check(self) -> None:
        """Raise the error of a model that has failed to load already."""
        for each in (self._root, self._sub):
            if isinstance(each, Starting):
                each.check()

    def close(self) -> None:
        """Release what was loaded here. Closing twice is harmless."""
        for each in (self._root, self._sub):
            if isinstance(each, Starting):
                each.close()


def wanted(
    model: str | Path | Model,
    lora: Lora,
    context_tokens: int | None = None,
    draft: str | Path | None = None,
) -> Wanted | Model:
    """A model as it is asked for.

    Raises UsageError for adapters to one that is loaded already, or a draft model beside
    it, and for a draft model beside one on another machine.
    """
    if isinstance(model, str | Path):
        if draft is not None and is_url(model):
            raise UsageError(
                f"a draft model was given for {model}, which is on another machine",
                hint="only a model that is run here can have one",
            )
        adapters = (each if isinstance(each, Adapter) else catalog.adapter(each) for each in lora)
        return Wanted(model, tuple(adapters), context_tokens, draft)
    if not hasattr(model, "complete"):
        raise UsageError(
            f"the model is of the type {type(model).__name__}",
            hint="give its name, a path, a URL, or a Model",
        )
    if lora or draft is not None:
        what = "LoRA adapters were" if lora else "a draft model was"
        raise UsageError(
            f"{what} given for a model that is loaded already",
            hint="give the model by its name or path",
        )
    return model


def check_remote(name: str | Path, adapters: Sequence[Adapter]) -> None:
    """Raise ConfigError for `adapters` to the model on the server `name`."""
    if adapters:
        raise ConfigError(
            f"LoRA adapters were given for a model on a server, {name}",
            hint="load them there, under a name of their own",
        )


def _ready(model: Model | Starting[Model]) -> Model:
    return model.result() if isinstance(model, Starting) else model


class Rooms:
    """What each of two models may take, reckoned once when the first of them asks."""

    def __init__(
        self,
        model: Wanted | Model,
        sub_model: Wanted | Model | None,
        memory_bytes: int,
        options: ModelOptions,
    ) -> None:
        #: Those that take memory of this machine, and are not loaded yet.
        self.local = [
            each
            for each in (model, sub_model)
            if isinstance(each, Wanted) and not is_url(each.name)
        ]
        self._sub_model = sub_model
        self._memory_bytes = memory_bytes
        self._options = options
        self._lock = threading.Lock()
        self._reckoned: list[Room] | None = None

    def of(self, wanted: Wanted) -> Room:
        """Raises ModelError, ConfigError: of any of them, since they are to fit together."""
        room = self._part(wanted)
        return room._replace(gpu_layers=self._layers(wanted))

    def _layers(self, wanted: Wanted) -> LayerChoice:
        """As many as were asked for; all of a sub-model that has fewer."""
        asked = self._options.gpu_layers
        if wanted is not self._sub_model or asked in ("auto", 0) or is_url(wanted.name):
            return asked
        from rlm_local.llama import inspect

        file = inspect(catalog.present(wanted.name).path)
        return min(asked, file.layers + 1)

    def _part(self, wanted: Wanted) -> Room:
        if len(self.local) < 2 or wanted not in self.local:
            return Room(self._memory_bytes, wanted.context_tokens)
        with self._lock:
            if self._reckoned is None:
                self._reckoned = self._reckon()
        return next(
            room for each, room in zip(self.local, self._reckoned, strict=True) if each is wanted
        )

    def _reckon(self) -> list[Room]:
        from rlm_local.llama import inspect
        from rlm_local.llama.model import physical_bytes
        from rlm_local.llama.shares import Share, divide

        shares = [
            Share(
                inspect(catalog.present(each.name).path, each.adapters),
                each.context_tokens,
                self._options.kv_type,
            )
            for each in self.local
        ]
        # What guesses for a model is in its worker, so in its room.
        drafts = [each for each in self.local if each.draft is not None]
        shares += [Share(inspect(catalog.present(each.draft or "").path)) for each in drafts]
        plans = divide(shares, memory_bytes=min(self._memory_bytes, physical_bytes()))
        beside = dict(zip(map(id, drafts), plans[len(self.local) :], strict=True))
        # They load side by side, so none sees what the others take of a GPU.
        return [
            Room(
                plan.total_bytes + (beside[id(each)].total_bytes if id(each) in beside else 0),
                plan.context_tokens,
                1 / len(self.local),
            )
            for each, plan in zip(self.local, plans, strict=False)
        ]
