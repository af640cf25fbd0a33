"""What is kept of a package, and what two of them may not share."""

from __future__ import annotations

import marshal
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from rlm_local.errors import PackageError
from rlm_local.packages import archive, bytecode
from rlm_local.packages import store as store_module
from rlm_local.packages.store import PackageStore
from rlm_local.packages.wheel import read_wheel
from tests.packages.build import wheel


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    (tmp_path / "store").mkdir()
    return PackageStore(tmp_path / "store")


def names(store: PackageStore) -> list[tuple[str, str]]:
    return [(package.name, package.version) for package in store.installed()]


def test_packages_come_and_go(store: PackageStore, tmp_path: Path) -> None:
    assert store.installed() == []
    added = store.add(read_wheel(wheel(tmp_path, name="Two_Words")))
    assert store.installed() == [added]
    assert (added.name, added.version) == ("two-words", "1.0")
    store.add(read_wheel(wheel(tmp_path, {"b.py": ""}, name="b")))
    assert names(store) == [("b", "1.0"), ("two-words", "1.0")]
    store.remove("two.words")
    assert names(store) == [("b", "1.0")]


def test_a_new_version_takes_the_place_of_the_old(store: PackageStore, tmp_path: Path) -> None:
    store.add(read_wheel(wheel(tmp_path)))
    store.add(read_wheel(wheel(tmp_path, {"tiny.py": "value = 2\n"}, version="2.0")))
    assert names(store) == [("tiny", "2.0")]
    assert len(list(store.folder.iterdir())) == 1


def test_a_package_that_is_removed_meanwhile_is_not_there(
    store: PackageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = store.add(read_wheel(wheel(tmp_path))).path
    store.add(read_wheel(wheel(tmp_path, {"b.py": ""}, name="b")))
    before = list(store.folder.iterdir())
    gone.unlink()
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(before))
    assert names(store) == [("b", "1.0")]
    assert store.packages().digest


def test_what_is_not_there_cannot_be_removed(store: PackageStore, tmp_path: Path) -> None:
    store.add(read_wheel(wheel(tmp_path)))
    for name in ("nothing", "*", "", "../store"):
        with pytest.raises(PackageError) as caught:
            store.remove(name)
        assert caught.value.hint == "the packages are: tiny"
    assert names(store) == [("tiny", "1.0")]


def test_the_digest_is_that_of_the_content(store: PackageStore, tmp_path: Path) -> None:
    seen = [store.packages().digest]
    store.add(read_wheel(wheel(tmp_path)))
    seen.append(store.packages().digest)
    store.add(read_wheel(wheel(tmp_path, {"tiny.py": "value = 2\n"})))
    seen.append(store.packages().digest)
    assert seen[0] == ""
    assert len(set(seen)) == 3
    store.add(read_wheel(wheel(tmp_path)))
    assert store.packages().digest == seen[1]


def test_two_packages_may_not_have_a_file_of_their_own_each(
    store: PackageStore, tmp_path: Path
) -> None:
    shared = {"shared/__init__.py": "", "shared/a.py": "1"}
    store.add(read_wheel(wheel(tmp_path, shared, name="first")))
    store.add(read_wheel(wheel(tmp_path, {**shared, "shared/b.py": ""}, name="same")))
    with pytest.raises(PackageError, match=r"brings shared/a.py, of which first 1.0") as caught:
        store.add(read_wheel(wheel(tmp_path, {"shared/a.py": "2"}, name="second")))
    assert "remove first" in caught.value.hint
    assert names(store) == [("first", "1.0"), ("same", "1.0")]


def test_packages_that_are_too_large_together_are_refused(
    store: PackageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_BYTES", 5000)
    store.add(read_wheel(wheel(tmp_path, {"a.py": "#" * 3000}, name="a")))
    with pytest.raises(PackageError, match=r"at most 4\.88 KiB fit"):
        store.add(read_wheel(wheel(tmp_path, {"b.py": "#" * 3000}, name="b")))
    store.add(read_wheel(wheel(tmp_path, {"a.py": "#" * 3500}, name="a")))


def test_a_file_that_was_changed_is_noticed(store: PackageStore, tmp_path: Path) -> None:
    path = store.add(read_wheel(wheel(tmp_path))).path
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    with pytest.raises(PackageError, match="not the file that was added"):
        store.packages().image()


def test_only_the_user_can_read_the_store(store: PackageStore, tmp_path: Path) -> None:
    path = store.add(read_wheel(wheel(tmp_path))).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_foreign_files_in_the_folder_are_passed_over(store: PackageStore, tmp_path: Path) -> None:
    (store.folder / "notes.txt").write_text("")
    (store.folder / ".tiny_1.0_x.zip.tmp").write_text("")
    assert store.installed() == []


PYODIDE = """#!{python}
import sys, zipfile
from pathlib import Path
path = Path(sys.argv[-1])
assert sys.argv[1] == "py-compile", sys.argv
made = path.with_name("package-1-{tag}.whl")
with zipfile.ZipFile(path) as source, zipfile.ZipFile(made, "w") as target:
    for name in source.namelist():
        target.writestr(name + "c", {magic!r} + bytes(12) + b"code of " + name.encode())
"""


@pytest.fixture
def pyodide(tmp_path: Path) -> Path:
    return tmp_path / "pyodide"


def write(path: Path, script: str) -> str:
    path.write_text(script)
    path.chmod(0o755)
    return str(path)


def script(*, tag: str = "cp313-none-any", magic: bytes = bytecode.MAGIC) -> str:
    return PYODIDE.format(python=sys.executable, tag=tag, magic=magic)


def test_bytecode_is_kept_beside_the_source(
    store: PackageStore, tmp_path: Path, pyodide: Path
) -> None:
    files = {"tiny/__init__.py": "", "tiny/data.txt": "text"}
    added = store.add(read_wheel(wheel(tmp_path, files)), pyodide=write(pyodide, script()))
    kept = archive.read(added.path.read_bytes())
    assert kept["tiny/__init__.pyc"].endswith(b"code of tiny/__init__.py")
    assert {"tiny/__init__.py", "tiny/data.txt"} < kept.keys()


@pytest.mark.parametrize(
    "told",
    [
        script(tag="cp312-none-any"),
        script(magic=b"\xcb\x0d\r\n"),
        f"#!{sys.executable}\nraise SystemExit(1)\n",
        "#!/nonexistent\n",
    ],
)
def test_another_python_s_bytecode_is_not_kept(
    store: PackageStore, tmp_path: Path, pyodide: Path, told: str
) -> None:
    added = store.add(read_wheel(wheel(tmp_path)), pyodide=write(pyodide, told))
    assert not [path for path in archive.read(added.path.read_bytes()) if path.endswith(".pyc")]


@pytest.mark.skipif(bytecode.find_command() is None, reason="pyodide-build is not installed here")
def test_pyodide_build_compiles_a_wheel(tmp_path: Path) -> None:
    found = bytecode.compiled(read_wheel(wheel(tmp_path)), bytecode.find_command())
    if sys.version_info[:2] == (3, 13):
        exec(marshal.loads(found["tiny.pyc"][16:]), names := {})
        assert names["value"] == 1


def test_an_archive_is_the_same_each_time(tmp_path: Path) -> None:
    files = {"b.py": b"2", "a/b.txt": b""}
    assert archive.write(files) == archive.write(dict(reversed(files.items())))
    assert archive.read(archive.write(files)) == files
    (tmp_path / "a.zip").write_bytes(archive.write(files))
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert opened.testzip() is None
