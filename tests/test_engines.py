"""Two models side by side: who is loaded with what, who is asked, who is closed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import models
from rlm_local import catalog, runtime
from rlm_local.engines import Engines, Room, Rooms, Wanted, wanted
from rlm_local.errors import (
    AdapterError,
    ConfigError,
    DraftError,
    ModelError,
    ModelFileError,
    ModelMemoryError,
    UsageError,
)
from rlm_local.limits import MIB, Limits
from rlm_local.model import Model, ScriptedModel
from rlm_local.options import ModelOptions
from rlm_local.records import Adapter
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime
from tests.fakes import FakeSandbox
from tests.llama import build, lora


class Loader:
    """Stands for the loading of models: what it was asked for, and what it made."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.made: dict[str, ScriptedModel] = {}

    def __call__(self, model: Wanted, room: Room, report: object) -> Model:
        name = str(model.name)
        if name.startswith("broken"):
            raise ModelError("it is broken")
        self.rooms[name] = room
        self.made[name] = ScriptedModel(name=name)
        return self.made[name]


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [models.write(models.SHAPES["tiny"], tmp_path / f"{name}.gguf") for name in "ab"]


def engines(
    loader: Loader,
    model: Wanted | Model,
    sub_model: Wanted | Model | None,
    memory_bytes: int = 1024 * MIB,
) -> Engines:
    return Engines(
        model, sub_model, loader, memory_bytes=memory_bytes, report=lambda stage: lambda *_: None
    )


def test_one_model_does_all_with_all_memory(loader: Loader) -> None:
    made = engines(loader, Wanted("one", context_tokens=99), None)
    assert made.model is made.sub_model is loader.made["one"]
    assert not made.two
    assert loader.rooms == {"one": Room(1024 * MIB, 99)}
    made.close()
    assert loader.made["one"].closed


def test_two_models_share_the_memory(loader: Loader, paths: list[Path]) -> None:
    made = engines(loader, Wanted(paths[0]), Wanted(paths[1]))
    assert made.model is loader.made[str(paths[0])]
    assert made.sub_model is loader.made[str(paths[1])]
    assert made.two
    rooms = loader.rooms.values()
    assert sum(room.memory_bytes for room in rooms) <= 1024 * MIB
    assert all(room.context_tokens == 1_024 for room in rooms)
    made.close()
    made.close()
    assert all(each.closed for each in loader.made.values())


def test_a_model_twice(loader: Loader, paths: list[Path]) -> None:
    """As for a reader that is the same model with an adapter."""
    made = engines(loader, Wanted(paths[0], context_tokens=600), Wanted(paths[0]))
    assert made.model.info == made.sub_model.info
    assert made.model is not made.sub_model
    made.close()


def test_two_that_do_not_fit(loader: Loader, paths: list[Path]) -> None:
    alone = engines(loader, Wanted(paths[0]), None, 120 * MIB)
    assert alone.model.info.name == str(paths[0])
    alone.close()
    made = engines(loader, Wanted(paths[0]), Wanted(paths[1]), 120 * MIB)
    for _ in range(2):
        with pytest.raises(ModelMemoryError, match="in all, and the limit for both is 120 MiB"):
            assert made.model
        with pytest.raises(ModelMemoryError):
            assert made.sub_model
    made.close()


def test_a_model_on_another_machine_takes_none_of_the_memory(
    loader: Loader, paths: list[Path]
) -> None:
    made = engines(loader, Wanted(paths[0]), Wanted("http://elsewhere:8000/m"))
    assert made.model.info.name == str(paths[0])
    assert made.sub_model.info.name == "http://elsewhere:8000/m"
    assert loader.rooms[str(paths[0])] == Room(1024 * MIB, None)
    made.close()


def test_a_sub_model_with_fewer_layers_is_on_the_gpu_as_a_whole(
    loader: Loader, paths: list[Path], tmp_path: Path
) -> None:
    shape = replace(models.SHAPES["tiny"], layers=5)
    deep = models.write(shape, tmp_path / "deep.gguf")
    for model, sub_model, layers in ((deep, paths[0], [4, 3]), (paths[0], deep, [4, 4])):
        made = Engines(
            Wanted(model),
            Wanted(sub_model),
            loader,
            memory_bytes=1024 * MIB,
            options=ModelOptions(gpu_layers=4),
            report=lambda stage: lambda *_: None,
        )
        assert made.model and made.sub_model  # noqa: PT018
        assert [loader.rooms[str(each)].gpu_layers for each in (model, sub_model)] == layers
        made.close()
    # One that is alone here is a sub-model still.
    sub = Wanted(paths[0])
    for asked, got in ((4, 3), ("auto", "auto"), (0, 0), (2, 2)):
        options = ModelOptions(gpu_layers=asked)  # type: ignore[arg-type]
        rooms = Rooms(Wanted("http://box/v1"), sub, 1024 * MIB, options)
        assert rooms.of(sub).gpu_layers == got


def test_models_handed_over_stay_open(loader: Loader) -> None:
    mine = ScriptedModel(name="mine")
    made = engines(loader, Wanted("one"), mine)
    assert made.sub_model is mine
    assert made.model is loader.made["one"]
    made.close()
    assert not mine.closed
    assert loader.made["one"].closed


@pytest.mark.parametrize("names", [("broken", "http://one"), ("http://one", "broken")])
def test_one_that_cannot_be_loaded(loader: Loader, names: tuple[str, str]) -> None:
    made = engines(loader, Wanted(names[0]), Wanted(names[1]))
    with pytest.raises(ModelError, match="it is broken"):
        assert made.model and made.sub_model  # noqa: PT018
    with pytest.raises(ModelError, match="it is broken"):
        made.check()
    made.close()
    assert all(each.closed for each in loader.made.values())


def test_a_sub_model_that_is_missing_is_told_by_its_name(paths: list[Path]) -> None:
    with (
        Runtime(model=paths[0], sub_model=paths[0].with_name("c.gguf"), sandbox=FakeSandbox()) as s,
        pytest.raises(ModelFileError, match=r"no file at .*c\.gguf"),
    ):
        s.ask("q", "text")


def test_adapters_for_the_sub_calls_alone_make_a_second_model(
    monkeypatch: pytest.MonkeyPatch, paths: list[Path]
) -> None:
    loaded: list[tuple[object, object]] = []

    def load(name: object, *, adapters: object, **_: object) -> ScriptedModel:
        loaded.append((name, adapters))
        return ScriptedModel()

    monkeypatch.setattr(runtime, "load_model", load)
    adapter = lora.write(
        paths[0].with_name("style.gguf"), lora.matrices(paths[0], ("blk.0.attn_q.weight",))
    )
    with Runtime(
        model=paths[0], sub_lora=[f"{adapter}:0.5"], sandbox=FakeSandbox(), limits=Limits()
    ) as session:
        assert session.model is not session.sub_model
    assert sorted(loaded, key=str) == sorted(
        [(paths[0], ()), (paths[0], (Adapter(path=str(adapter), scale=0.5),))], key=str
    )


def test_adapters_are_checked_before_anything_is_loaded(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_text("no adapter")
    with (
        Runtime(model=paths[0], lora=[tmp_path / "no.gguf"], sandbox=FakeSandbox()) as session,
        pytest.raises(AdapterError, match="not a GGUF file"),
    ):
        session.ask("q", "text")


def test_adapters_of_a_model_that_is_loaded_already() -> None:
    with pytest.raises(UsageError, match="loaded already"):
        wanted(ScriptedModel(), ["style.gguf"])
    with pytest.raises(UsageError, match="loaded already"):
        Runtime(model=ScriptedModel(), lora=["style.gguf"])


# ------------------------------------------------------------ how they are written


@pytest.mark.parametrize(
    ("given", "name", "scale"),
    [
        ("style.gguf", "style.gguf", 1.0),
        ("style.gguf:0.5", "style.gguf", 0.5),
        ("a:b/style.gguf", "a:b/style.gguf", 1.0),
        ("a:b/style.gguf:-2", "a:b/style.gguf", -2.0),
        ("style.gguf:1e-3", "style.gguf", 0.001),
        ("style:7:1", "style:7", 1.0),
        ("style.gguf:", "style.gguf:", 1.0),
        (":3", ":3", 1.0),
        (Path("style:0.5"), "style:0.5", 1.0),
    ],
)
def test_adapters_as_people_write_them(
    given: str | Path, name: str, scale: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert catalog.adapter(given) == Adapter(path=str(tmp_path / name), scale=scale)


def test_an_adapter_without_a_name() -> None:
    with pytest.raises(ConfigError, match="no file name"):
        catalog.adapter("")


def test_a_draft_model_has_its_part_of_its_models_room(loader: Loader, paths: list[Path]) -> None:
    made = engines(loader, Wanted(paths[0], draft=paths[1]), Wanted(paths[1]))
    assert made.model is not made.sub_model
    with_draft, alone = (loader.rooms[str(path)] for path in paths)
    assert with_draft.memory_bytes == 2 * alone.memory_bytes
    assert with_draft.memory_bytes + alone.memory_bytes <= 1024 * MIB


@pytest.mark.parametrize("model", [ScriptedModel(), "http://127.0.0.1:1/v1"])
def test_a_draft_model_is_for_a_model_that_is_loaded_here(model: Model | str) -> None:
    with pytest.raises(UsageError, match="draft model was given"):
        wanted(model, (), draft="small.gguf")


def test_a_model_with_a_draft_model_beside_another(paths: list[Path]) -> None:
    limits = Limits(model_memory_bytes=400 * MIB)
    with Runtime(
        model=paths[0],
        sub_model=paths[1],
        draft_model=paths[1],
        limits=limits,
        sandbox=FakeSandbox(),
    ) as made:
        assert made.model is not made.sub_model


def test_a_draft_model_that_does_not_fit_its_model(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = build.written(tmp_path / "other", build.gguf())
    with (
        Runtime(model=paths[0], draft_model=other, sandbox=FakeSandbox()) as made,
        pytest.raises(DraftError, match="cannot guess for"),
    ):
        _ = made.model


def test_a_draft_model_that_is_not_to_guess_is_left_alone(
    paths: list[Path], tmp_path: Path
) -> None:
    """It takes no room, no file is opened, and no name is resolved."""
    with (
        Runtime(
            model=paths[0],
            sub_model=paths[1],
            draft_model=tmp_path / "none.gguf",
            options=ModelOptions(speculate=False),
            sandbox=FakeSandbox(),
            store=RunStore(tmp_path / "runs"),
        ) as made,
        made.open("a text") as prompt,
        made.begin(prompt) as run,
    ):
        assert made.store.setup(run.run_id).draft_model is None
    with Runtime(
        model=ScriptedModel(),
        draft_model="small.gguf",
        options=ModelOptions(speculate=False),
        sandbox=FakeSandbox(),
    ) as made:
        assert made.model


def test_a_run_is_taken_up_again_with_its_draft_model(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        Runtime(
            model=paths[0],
            draft_model=paths[1].name,
            options=(options := ModelOptions(context_tokens=600, threads=1, gpu_layers=0)),
            sandbox=FakeSandbox(),
            store=RunStore(tmp_path / "runs"),
        ) as made,
        made.open("a text") as prompt,
        made.begin(prompt) as run,
    ):
        setup = made.store.setup(run.run_id)
    assert setup.draft_model == str(paths[1])
    assert ModelOptions(**setup.by_name()) == options
