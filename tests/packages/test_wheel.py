"""What is read of a wheel, and what is refused."""

from __future__ import annotations

import contextlib
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm_local.errors import PackageError
from rlm_local.packages import wheel as wheel_module
from rlm_local.packages.wheel import read_wheel
from tests.packages.build import content, wheel


def refusal(path: Path) -> str:
    with pytest.raises(PackageError) as caught:
        read_wheel(path)
    return "; ".join(filter(None, (str(caught.value), caught.value.hint)))


def test_a_wheel_is_read(tmp_path: Path) -> None:
    needs = "Requires-Dist: Some.Thing>=2\nRequires-Dist: other; extra == 'x'\n"
    needs += "Requires-Dist: win; sys_platform == 'win32'\nRequires-Python: >=3.8\n"
    files = {"tiny/__init__.py": "", "tiny/data.txt": "é", "alone.py": ""}
    read = read_wheel(wheel(tmp_path, files, metadata=needs))
    assert (read.name, read.version) == ("tiny", "1.0")
    assert read.modules == ("alone", "tiny")
    assert read.needs == ("some-thing",)
    assert read.files["tiny/data.txt"] == "é".encode()
    assert "tiny-1.0.dist-info/METADATA" in read.files


def test_the_data_folder_is_installed_where_imports_start(tmp_path: Path) -> None:
    files = {"tiny-1.0.data/purelib/tiny.py": "1", "tiny-1.0.data/scripts/tiny": "#!python"}
    read = read_wheel(wheel(tmp_path, files))
    assert read.modules == ("tiny",)
    assert [path for path in read.files if "dist-info" not in path] == ["tiny.py"]


@pytest.mark.parametrize(
    "tag", ["py3-none-any", "py2.py3-none-any", "py313-none-any", "cp313-none-any"]
)
def test_tags_that_fit(tmp_path: Path, tag: str) -> None:
    assert read_wheel(wheel(tmp_path, tag=tag)).name == "tiny"


@pytest.mark.parametrize(
    "tag",
    ["cp313-cp313-manylinux_2_17_x86_64", "cp39-abi3-win_amd64", "cp313-cp313-wasi_0_1_wasm32"],
)
def test_native_code_is_refused_by_name(tmp_path: Path, tag: str) -> None:
    said = refusal(wheel(tmp_path, name="fastlib", version="2.1", tag=tag))
    assert said.startswith("fastlib 2.1 has native code")
    assert tag in said


@pytest.mark.parametrize(
    "tag", ["py2-none-any", "cp311-none-any", "py314-none-any", "pp310-none-any"]
)
def test_another_python_s_wheel_is_refused(tmp_path: Path, tag: str) -> None:
    assert "the sandbox is CPython 3.13" in refusal(wheel(tmp_path, tag=tag))


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("tiny/_fast.so", b"x"),
        ("tiny/_fast.cpython-313-x86_64-linux-gnu.so", b"x"),
        ("tiny/libz.so.1.2", b"x"),
        ("tiny/_fast.PYD", b"x"),
        ("tiny/lib.dylib", b"x"),
        ("tiny/hidden.dat", b"\x7fELF\x02\x01"),
        ("tiny/hidden.dat", b"\0asm\1\0\0\0"),
    ],
)
def test_native_code_in_a_pure_name_is_refused(tmp_path: Path, file: str, data: bytes) -> None:
    assert f"native code ({file})" in refusal(wheel(tmp_path, {file: data}))


def test_a_wheel_that_says_it_is_not_pure_is_refused(tmp_path: Path) -> None:
    assert "not pure Python" in refusal(wheel(tmp_path, pure="false"))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"tiny.py": None}, "its RECORD does not list"),
        ({"tiny.py": ("", "")}, "no digest of tiny.py"),
        ({"tiny.py": ("md5=abc", "10")}, "no digest of tiny.py"),
        ({"tiny.py": ("sha256=AAAA", "10")}, "is not the file that its RECORD lists"),
        ({"tiny.py": ("sha256=é", "10")}, "is not the file that its RECORD lists"),
        ({"more.py": ("sha256=AAAA", "1")}, "lacks more.py"),
    ],
)
def test_the_record_is_held_against_the_files(
    tmp_path: Path, record: dict[str, tuple[str, str] | None], said: str
) -> None:
    assert said in refusal(wheel(tmp_path, record=record))


def test_a_wrong_size_in_the_record_is_refused(tmp_path: Path) -> None:
    right = content({"tiny.py": "value = 1\n"})["tiny-1.0.dist-info/RECORD"].decode()
    digest = right.split("tiny.py,")[1].split(",")[0]
    assert "is not the file" in refusal(wheel(tmp_path, record={"tiny.py": (digest, "9")}))


def repacked(path: Path, change: object) -> Path:
    """The wheel at `path` with its members passed through `change`, which may rename them."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in members:
            change(info)  # type: ignore[operator]
            archive.writestr(info, data)
    return path


@pytest.mark.parametrize(
    "place",
    [
        *("../evil.py", "a/../../evil.py", "/etc/evil.py", "C:/evil.py", "a\\evil.py", "./a.py"),
        *("a//b.py", "a\nb.py", "x" * 500, "a/.", "\u202egpj.py"),
    ],
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, place: str) -> None:
    def rename(info: zipfile.ZipInfo) -> None:
        if info.filename == "tiny.py":
            info.filename = place

    said = refusal(repacked(wheel(tmp_path), rename))
    assert "which is not allowed" in said


def test_a_link_is_refused(tmp_path: Path) -> None:
    def link(info: zipfile.ZipInfo) -> None:
        if info.filename == "tiny.py":
            info.create_system = 3
            info.external_attr = (stat.S_IFLNK | 0o777) << 16

    assert "link" in refusal(repacked(wheel(tmp_path), link))


def test_a_file_twice_is_refused(tmp_path: Path) -> None:
    path = wheel(tmp_path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("tiny.py", "value = 2\n")
    assert "twice" in refusal(path)


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path) -> None:
    assert "as a file and as a folder" in refusal(wheel(tmp_path, {"a": "", "a/b.py": ""}))


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_module, "MAX_BYTES", 1 << 20)
    path = wheel(tmp_path, {"tiny.py": "#" * (2 << 20)})
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    assert "unpacks to 2.00 MiB" in refusal(path)


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = wheel(tmp_path, {"tiny.py": "#" * 100_000})
    data = path.read_bytes()
    lying = data.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lying != data
    path.write_bytes(lying)
    assert "damaged" in refusal(path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_module, "MAX_FILES", 3)
    assert "has 4 files" in refusal(wheel(tmp_path))


@pytest.mark.parametrize(
    "name", ["notes.txt", "tiny.whl", "tiny-1.0.zip", "tiny-x-py3-none-any.whl"]
)
def test_a_file_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    path = wheel(tmp_path).rename(tmp_path / name)
    assert "not the name of a wheel" in refusal(path)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    assert "cannot be read: No such file" in refusal(path)
    path.write_bytes(b"not a zip")
    assert "damaged" in refusal(path)
    path.unlink()
    path.mkdir()
    said = refusal(path)
    assert "cannot be read" in said
    assert "`pip download --no-deps PACKAGE` fetches one" in said


def test_a_renamed_wheel_is_refused(tmp_path: Path) -> None:
    path = wheel(tmp_path).rename(tmp_path / "other-1.0-py3-none-any.whl")
    assert "another distribution's" in refusal(path)
    path = wheel(tmp_path).rename(tmp_path / "tiny-2.0-py3-none-any.whl")
    assert "another distribution's" in refusal(path)


def test_versions_may_be_spelled_in_two_ways(tmp_path: Path) -> None:
    path = wheel(tmp_path, version="2024.01.02").rename(tmp_path / "tiny-2024.1.2-py3-none-any.whl")
    assert read_wheel(path).version == "2024.1.2"


def test_a_wheel_for_a_newer_python_is_refused(tmp_path: Path) -> None:
    path = wheel(tmp_path, metadata="Requires-Python: >=3.14\n")
    said = refusal(path)
    assert "wants Python >=3.14" in said
    assert "pip download --no-deps --python-version 3.13" in said


@pytest.mark.parametrize("module", ["json", "_rlm_bootstrap", "__main__"])
def test_modules_that_are_there_already_are_refused(tmp_path: Path, module: str) -> None:
    assert f"a module {module}" in refusal(wheel(tmp_path, {f"{module}.py": ""}))


@pytest.mark.parametrize("place", [0, -1])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, place: int) -> None:
    """The archive has it twice: before the file, and in its list of files."""
    path = wheel(tmp_path, {"tiny_é.py": ""})
    data, name = path.read_bytes(), "tiny_é.py".encode()
    start = (data.index(name), data.rindex(name))[place]
    path.write_bytes(data[:start] + b"tiny_\xff\xff.py" + data[start + len(name) :])
    assert "damaged" in refusal(path)


def test_modules_that_the_guest_s_python_has_no_longer_may_come(tmp_path: Path) -> None:
    assert read_wheel(wheel(tmp_path, {"cgi.py": "", "distutils/__init__.py": ""})).modules == (
        "cgi",
        "distutils",
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(place=st.integers(0), byte=st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_changes_nothing(
    tmp_path: Path, place: int, byte: int
) -> None:
    path = wheel(tmp_path, {"tiny.py": "value = 1\n", "tiny_é.txt": "text"})
    whole = read_wheel(path)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= byte
    path.write_bytes(data)
    with contextlib.suppress(PackageError):
        assert read_wheel(path) == whole
