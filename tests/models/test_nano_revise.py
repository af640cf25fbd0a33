"""Programs mended after a training: the vocabulary says their lines, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

gguf = pytest.importorskip("gguf")

from models.nano import programs, revise  # noqa: E402
from models.nano.cells import gather, label, part, profile, read, table, walk  # noqa: E402
from models.nano.families import catalog  # noqa: E402
from models.nano.folders import WEIGHTS  # noqa: E402
from rlm_local.records import Replied  # noqa: E402
from rlm_local.runs import RunStore  # noqa: E402
from rlm_local.runtime import Runtime  # noqa: E402

PROGRAMS = {
    programs.LOCATE: "LOCATE",
    gather.GATHER: "GATHER",
    label.LABEL: "LABEL",
    part.PART: "PART",
    profile.PROFILE: "PROFILE",
    read.READ: "READ",
    table.TABLE: "TABLE",
    walk.WALK: "WALK",
}


def lines_of(path: Path) -> list[str]:
    fields = gguf.GGUFReader(path).fields
    tokens, kinds = (
        fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type")
    )
    return [t for t, k in zip(tokens, kinds, strict=True) if k == gguf.TokenType.USER_DEFINED]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a vocabulary of five tokens and one tensor."""
    np = pytest.importorskip("numpy")
    path = tmp_path_factory.mktemp("revise") / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_rope_freq_base(10_000.0)
    writer.add_token_list(["<end>", "first line\n", "second line\n", "word", "third line\n"])
    user = gguf.TokenType.USER_DEFINED
    writer.add_token_types([gguf.TokenType.CONTROL, user, user, gguf.TokenType.NORMAL, user])
    writer.add_tensor("x", np.arange(12, dtype=np.float16).reshape(3, 4))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_only_the_lines_that_are_named_change(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "revised.gguf"
    revise.write(small, target, {"second line\n": "second line,\nand one more\n"})
    old, new = gguf.GGUFReader(small), gguf.GGUFReader(target)
    assert lines_of(target) == ["first line\n", "second line,\nand one more\n", "third line\n"]
    changed = {
        name
        for name in old.fields.keys() | new.fields.keys()
        if not name.startswith("GGUF.")
        and (name not in old.fields or old.fields[name].contents() != new.fields[name].contents())
    }
    assert changed == {"tokenizer.ggml.tokens", revise.SOURCE}
    assert [(t.name, t.tensor_type, t.data.tobytes()) for t in old.tensors] == [
        (t.name, t.tensor_type, t.data.tobytes()) for t in new.tensors
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fourth line\n": "x\n"}, "no token of the vocabulary is the line"),
        ({"word": "words"}, "no token of the vocabulary is the line"),
        ({"first line\n": "third line\n"}, "would be the same line"),
    ],
)
def test_what_is_no_line_of_the_weights_is_refused(
    small: Path, tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    target = tmp_path / "revised.gguf"
    with pytest.raises(ValueError, match=message):
        revise.write(small, target, changed)
    assert not target.exists()


def test_weights_are_revised_once(small: Path, tmp_path: Path) -> None:
    once = tmp_path / "once.gguf"
    revise.write(small, once, {"first line\n": "the first line\n"})
    with pytest.raises(ValueError, match="revised already"):
        revise.write(once, tmp_path / "twice.gguf", {"second line\n": "x\n"})


@pytest.mark.parametrize(
    "text",
    ["[[line]]\nwas = ''\nnow = 'x'\n", 2 * "[[line]]\nwas = 'a'\nnow = 'x'\n"],
)
def test_a_list_that_names_no_line_or_one_twice_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "revised.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="empty, or listed twice"):
        revise.lines(path)


def test_the_shipped_weights_have_the_lines_that_are_listed() -> None:
    lines = lines_of(WEIGHTS)
    changed = revise.lines()
    assert set(changed.values()) <= set(lines)
    assert not changed.keys() & set(lines) - set(changed.values())
    for line in changed.values():
        assert any(line.rstrip("\n") in program for program in PROGRAMS), line


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    store = RunStore(tmp_path_factory.mktemp("runs"))
    with Runtime(model=WEIGHTS, store=store) as runtime:
        yield runtime


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("needles", {"PROFILE", "LOCATE", "GATHER"}),
        ("chains", {"PROFILE", "WALK"}),
        ("labels", {"PROFILE", "LABEL", "TABLE"}),
        ("reports", {"PROFILE", "LOCATE", "READ"}),
        ("parts", {"PROFILE", "PART"}),
    ],
)
def test_the_shipped_weights_write_the_recipes_programs_to_the_letter(
    runtime: Runtime, family: str, names: set[str]
) -> None:
    said: list[str] = []
    for seed in range(4):
        task = catalog.task(family, seed, "train", 1_500)
        texts = task.texts[0] if task.single else list(task.texts)
        with runtime.open(texts) as prompt:
            events: list[object] = []
            runtime.ask(task.question, prompt, mode="rlm", on_event=events.append)
        said += [event.code.strip() for event in events if isinstance(event, Replied)]
    written = {code for code in said if "\n" in code and len(code) > 200}
    assert {PROGRAMS.get(code, code) for code in written} == names
