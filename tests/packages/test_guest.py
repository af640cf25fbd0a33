"""Packages in the guest: imported from its memory, in every fork."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_local.errors import SandboxError
from rlm_local.packages.image import Packages, packed
from rlm_local.packages.store import PackageStore
from rlm_local.packages.wheel import read_wheel
from rlm_local.wasm import WasmRepl, WasmSandbox, snapshot
from tests.packages.build import wheel
from tests.wasm.prompts import TextPrompt

TINY = {
    "tiny/__init__.py": "from importlib.metadata import version\n__version__ = version('tiny')\n",
    "tiny/deep/__init__.py": "",
    "tiny/deep/more.py": "from .. import __version__\ndef fail():\n    1 / 0\n",
    "tiny/data/words.txt": "één\ntwee\n",
    "alone.py": '"""A module by itself."""\n\n\ndef double(x):\n    return 2 * x\n',
    "broken.py": "print 'Python 2'\n",
    "space/one.py": "name = __name__\n",
}
OTHER = {"space/two.py": "from space.one import name\n"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PackageStore:
    folder = tmp_path_factory.mktemp("store")
    store = PackageStore(folder)
    wheels = tmp_path_factory.mktemp("wheels")
    entry = {"tiny-1.0.dist-info/entry_points.txt": "[tiny.plugins]\na = alone:double\n"}
    store.add(read_wheel(wheel(wheels, {**TINY, **entry})))
    store.add(read_wheel(wheel(wheels, OTHER, name="other_words", version="0.2")))
    return store


@pytest.fixture(scope="module")
def sandbox(store: PackageStore, guest_path: Path) -> Iterator[WasmSandbox]:
    with WasmSandbox(guest_path, packages=store.packages()) as made:
        yield made


def fork(sandbox: WasmSandbox, folder: Path) -> WasmRepl:
    return sandbox.repl(
        TextPrompt(folder, ["text"]),  # type: ignore[arg-type] # it has what a sandbox reads
        question="what?",
        host=lambda name, arguments: None,
        functions=[],
        memory_bytes=256 << 20,
        output_chars=4000,
    )


@pytest.fixture
def repl(sandbox: WasmSandbox, tmp_path: Path) -> Iterator[WasmRepl]:
    with fork(sandbox, tmp_path) as made:
        yield made


def value(repl: WasmRepl, code: str) -> object:
    ran = repl.execute(code, deadline=time.monotonic() + 60, cell_seconds=20)
    assert ran.error is None, ran.error
    return eval(ran.value or "None")


def failure(repl: WasmRepl, code: str) -> tuple[str, str]:
    ran = repl.execute(code, deadline=time.monotonic() + 60, cell_seconds=20)
    assert ran.error is not None
    return ran.error.type, ran.error.traceback


def test_modules_and_packages_are_imported(repl: WasmRepl) -> None:
    assert value(repl, "import alone; alone.double(4)") == 8
    assert value(repl, "import tiny.deep.more as m; m.__name__, m.__file__, m.__package__") == (
        "tiny.deep.more",
        "/packages/tiny/deep/more.py",
        "tiny.deep",
    )
    assert value(repl, "from tiny import __version__; __version__") == "1.0"


def test_a_namespace_has_parts_of_two_packages(repl: WasmRepl) -> None:
    assert value(repl, "from space.two import name; name") == "space.one"


def test_the_standard_library_comes_first(repl: WasmRepl) -> None:
    assert value(repl, "import json, sys; json.__spec__.origin, sys.path") == (
        "frozen",
        ["/packages"],
    )


def test_data_files_are_read(repl: WasmRepl) -> None:
    assert value(
        repl,
        "from importlib.resources import files\n"
        "data = files('tiny').joinpath('data', 'words.txt')\n"
        "with data.open(encoding='utf-8') as lines: listed = list(lines)\n"
        "listed, data.read_text(encoding='utf-8').split(), data.read_bytes()[:1], data.is_file(),"
        " sorted(each.name for each in files('tiny').iterdir())",
    ) == (["één\n", "twee\n"], ["één", "twee"], b"\xc3", True, ["__init__.py", "data", "deep"])
    assert value(repl, "import pkgutil; len(pkgutil.get_data('tiny', 'data/words.txt'))") == 11
    missing = "files('tiny').joinpath('data/none.txt').read_text()"
    assert failure(repl, missing)[0] == "FileNotFoundError"


def test_data_files_are_read_of_folders_without_code(repl: WasmRepl) -> None:
    assert value(
        repl,
        "from importlib.resources import files, read_text\n"
        "import space, tiny.data\n"
        "(read_text('tiny.data', 'words.txt', encoding='utf-8').split(),"
        " sorted(each.name for each in files(space).iterdir()), files(tiny.data).name,"
        " space.__file__)",
    ) == (["één", "twee"], ["one.py", "two.py"], "data", None)


def test_data_files_are_opened_as_other_files_are(repl: WasmRepl) -> None:
    data = "(files('tiny') / 'data' / 'words.txt')"
    assert value(
        repl,
        "from importlib.resources import files\n"
        f"({data}.open('r', -1, 'utf-8').readline(),"
        f" {data}.open(buffering=1, encoding='utf-8').readline(), {data}.open('rb', 0).read(1))",
    ) == ("één\n", "één\n", b"\xc3")


def test_metadata_is_found_by_any_spelling(repl: WasmRepl) -> None:
    assert value(
        repl,
        "from importlib.metadata import distributions, entry_points, files, version\n"
        "(sorted(each.metadata['Name'] for each in distributions()),"
        " version('Other.Words'), len(files('tiny')) > 5,"
        " [each.load()(2) for each in entry_points(group='tiny.plugins')])",
    ) == (["other_words", "tiny"], "0.2", True, [4])
    assert failure(repl, "version('json')")[0] == "PackageNotFoundError"


def test_packages_can_be_walked(repl: WasmRepl) -> None:
    assert value(
        repl,
        "import pkgutil, tiny\n([(each.name, each.ispkg) for each in pkgutil.iter_modules()],"
        " [each.name for each in pkgutil.walk_packages(tiny.__path__, 'tiny.')])",
    ) == (
        [("alone", False), ("broken", False), ("tiny", True)],
        ["tiny.deep", "tiny.deep.more"],
    )


def test_a_traceback_and_the_source_of_a_package_are_there(repl: WasmRepl) -> None:
    kind, trace = failure(repl, "from tiny.deep import more\nmore.fail()")
    assert kind == "ZeroDivisionError"
    assert 'File "/packages/tiny/deep/more.py", line 3, in fail' in trace
    source = value(repl, "import inspect, alone; inspect.getsource(alone.double)")
    assert source == "def double(x):\n    return 2 * x\n"


def test_what_does_not_compile_fails_where_it_is_imported(repl: WasmRepl) -> None:
    assert failure(repl, "import broken")[0] == "SyntaxError"
    assert failure(repl, "import nothing")[0] == "ModuleNotFoundError"


def test_forks_do_not_see_each_other_s_changes(sandbox: WasmSandbox, tmp_path: Path) -> None:
    with fork(sandbox, tmp_path / "a") as first, fork(sandbox, tmp_path / "b") as second:
        value(first, "import alone, sys; alone.double = None; sys.path.clear()")
        assert value(second, "import alone; alone.double(2)") == 4


def test_the_snapshot_is_this_set_of_packages(
    sandbox: WasmSandbox,
    store: PackageStore,
    guest_path: Path,
    tmp_path: Path,
) -> None:
    sandbox.prepare()
    digest = sandbox._host.guest.digest  # type: ignore[union-attr]
    path = snapshot.path_for(digest, store.packages().digest)
    assert path.is_file()
    assert path != snapshot.path_for(digest)
    with pytest.raises(SandboxError, match="another guest's snapshot"):
        snapshot.Snapshot(path, digest)
    with WasmSandbox(guest_path) as plain, fork(plain, tmp_path) as repl:
        assert failure(repl, "import tiny")[0] == "ModuleNotFoundError"


@pytest.mark.parametrize(
    "image",
    [b"", b"\0\0", b"\xff\xff\xff\xff{}", packed({})[:-3], b"\4\0\0\0nope"],
)
def test_a_bad_image_is_an_error_of_the_host_s(image: bytes, guest_path: Path) -> None:
    from rlm_local.wasm.guest import load
    from rlm_local.wasm.instance import Host
    from rlm_local.wasm.thread import GuestThread

    host, thread = Host(load(guest_path)), GuestThread()
    try:
        with pytest.raises(SandboxError, match="refused its packages"):
            thread.call(
                lambda: snapshot.make(host, guest_path / "x", Packages("d", lambda: image or b" "))
            )
    finally:
        thread.close()
        host.close()


def test_bytecode_takes_the_name_of_its_file(
    repl: WasmRepl, guest_path: Path, tmp_path: Path
) -> None:
    code = "import marshal\nmarshal.dumps(compile('1 / 0', 'elsewhere.py', 'exec'))"
    compiled = value(repl, code)
    magic = value(repl, "import importlib.util; importlib.util.MAGIC_NUMBER")
    image = packed({"fails.pyc": magic + bytes(12) + compiled})  # type: ignore[operator]
    packages = Packages("c", lambda: image)
    with WasmSandbox(guest_path, packages=packages) as made, fork(made, tmp_path / "a") as other:
        assert 'File "/packages/fails.pyc", line 1' in failure(other, "import fails")[1]


def test_a_guest_uses_bytecode_that_is_its_own(guest_path: Path, tmp_path: Path) -> None:
    other = b"\xcb\x0d\r\n" + bytes(12) + b"of another Python"
    image = packed({"alone.py": b"value = 1", "alone.pyc": other, "only.pyc": other})
    packages = Packages("b", lambda: image)
    with WasmSandbox(guest_path, packages=packages) as sandbox, fork(sandbox, tmp_path) as repl:
        assert value(repl, "import alone; alone.value") == 1
        kind, trace = failure(repl, "import only")
        assert (kind, "another Python's" in trace) == ("ImportError", True)
