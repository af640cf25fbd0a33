"""A model's name → a verified file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from rlm_local import catalog
from rlm_local.errors import ConfigError, ModelFileError

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "models"
    made.mkdir()
    monkeypatch.setenv("RLM_LOCAL_MODELS", str(made))
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "cache"))
    return made


def listed(folder: Path, sha256: str = SHA) -> Path:
    path = folder / "sub" / "tiny.gguf"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    (folder / "catalog.toml").write_text(
        f'[tiny]\nfile = "sub/tiny.gguf"\nsha256 = "{sha256}"\nprofile = "nano"\nnew_key = 1\n'
    )
    return path


def test_a_listed_model_is_found_and_verified(folder: Path):
    path = listed(folder)
    model = catalog.verified("tiny")
    assert (model.name, model.path, model.profile, model.sha256) == ("tiny", path, "nano", SHA)


def test_a_file_that_is_not_the_one_listed_is_refused(folder: Path):
    path = listed(folder)
    assert catalog.verified("tiny").present
    path.write_bytes(b"other weights")
    with pytest.raises(ModelFileError, match="is not the file that the catalogue lists as tiny"):
        catalog.verified("tiny")


def test_a_file_of_the_folder_goes_by_its_name(folder: Path):
    (folder / "own-q4.gguf").write_bytes(b"x")
    assert catalog.verified("own-q4").path == folder / "own-q4.gguf"
    assert "own-q4" in catalog.models()


def test_a_path_is_taken_as_it_is(folder: Path, tmp_path: Path):
    path = tmp_path / "direct.gguf"
    path.write_bytes(b"x")
    assert catalog.verified(path).path == path
    assert catalog.verified(str(path)).path == path
    with pytest.raises(ModelFileError, match="has no file at"):
        catalog.verified(tmp_path / "none.gguf")


def test_an_unknown_name_suggests_the_nearest(folder: Path):
    listed(folder)
    with pytest.raises(ModelFileError, match="no model named 'tinny'") as caught:
        catalog.find("tinny")
    assert "did you mean 'tiny'?" in caught.value.hint
    assert "path of a GGUF file" in caught.value.hint


def test_a_folder_is_no_model(folder: Path, tmp_path: Path):
    (tmp_path / "hub").mkdir()
    with pytest.raises(ModelFileError, match="is a folder") as caught:
        catalog.present(tmp_path / "hub")
    assert "convert_hf_to_gguf.py" in caught.value.hint
    (tmp_path / "hub" / "b.gguf").write_bytes(CONTENT)
    with pytest.raises(ModelFileError, match="is a folder") as caught:
        catalog.present(tmp_path / "hub")
    assert caught.value.hint == f"name the file in it: {tmp_path / 'hub' / 'b.gguf'}"


@pytest.mark.parametrize("name", ["gpu-box:8000", "127.0.0.1:8000/v1"])
def test_a_server_without_its_scheme(folder: Path, name: str):
    with pytest.raises(ModelFileError) as caught:
        catalog.find(name)
    assert caught.value.hint.endswith(f" http://{name}")


def test_a_file_here_is_not_taken_for_a_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "weights").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match="no model named 'weights'") as caught:
        catalog.find("weights")
    assert caught.value.hint == "what has that name here is ./weights"
    assert catalog.present("./weights").present


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[tiny]\nsha256 = 3", r"is not valid: \[tiny\]: Expected `str`"),
        ("[[", "is not TOML: "),
        ("[tiny]\n", r"is not valid: \[tiny\]: .*`file`"),
        ('tiny = "x"', r"is not valid: \[tiny\]: Expected `object`"),
    ],
)
def test_a_bad_catalogue_names_its_file_and_table(folder: Path, text: str, what: str):
    (folder / "catalog.toml").write_text(text)
    with pytest.raises(ConfigError, match=rf"catalog\.toml {what}") as caught:
        catalog.models()
    assert 'file = "name.gguf"' in caught.value.hint


def test_a_folder_of_models_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RLM_LOCAL_MODELS", str(folder / "none"))
    with pytest.raises(ConfigError, match="there is no such folder") as caught:
        catalog.models()
    assert caught.value.hint


def test_a_digest_is_computed_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    path = listed(folder)
    calls: list[int] = []
    real = hashlib.file_digest

    def counted(file: object, name: str) -> object:
        calls.append(1)
        return real(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", counted)
    assert [catalog.digest(path) for _ in range(3)] == [SHA] * 3
    assert len(calls) == 1
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert catalog.digest(path) == SHA
    assert len(calls) == 2


def test_a_path_that_llama_cpp_cannot_read(tmp_path: Path):
    path = tmp_path / os.fsdecode(b"caf\xe9.gguf")
    path.write_bytes(CONTENT)
    with pytest.raises(ModelFileError, match="is not UTF-8"):
        catalog.present(path)
    with pytest.raises(ConfigError, match="is not UTF-8"):
        catalog.adapter(f"{path}:0.5")


def test_a_damaged_digest_cache_is_computed_again(folder: Path, tmp_path: Path):
    path = listed(folder)
    catalog.digest(path)
    [memo] = (tmp_path / "cache" / "digests").iterdir()
    memo.write_bytes(b"{")
    assert catalog.digest(path) == SHA


def test_an_unreadable_file(folder: Path):
    with pytest.raises(ModelFileError, match="cannot be read: No such file"):
        catalog.digest(folder / "none.gguf")
