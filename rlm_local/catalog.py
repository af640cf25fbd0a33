"""A model's name → a verified file.

The catalogue is a TOML file with a table for each model:

    [rlm-nano]
    file = "nano/rlm-nano.gguf"     # from the catalogue's folder
    sha256 = "…"
    profile = "nano"
    licence = "MIT"
    about = "one sentence"

It is looked for in the folder `RLM_LOCAL_MODELS`, in the installed package and in
a checkout's `models/`. Every other `*.gguf` in `RLM_LOCAL_MODELS` goes by its file
name. A path is taken as it is. A file's SHA-256 is computed once, and again only
when its size, time or inode change.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
import tempfile
import tomllib
from pathlib import Path

import msgspec

from rlm_local import jsontext
from rlm_local.errors import ConfigError, ModelFileError
from rlm_local.paths import cache_folder
from rlm_local.records import Adapter, Record

CATALOGUE = "catalog.toml"
DEFAULT_MODEL = "rlm-nano"

_OWN_FOLDER = "RLM_LOCAL_MODELS"
#: A server without the `http://` that makes a URL of it.
_HOST = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}(/.*)?")
_ENTRY_HINT = 'a model is a table: a line [name], and below it file = "name.gguf"'


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the catalogue has it; keys of later versions are passed over."""

    file: str
    sha256: str = ""
    profile: str = "generic"
    licence: str = ""
    about: str = ""


class ModelFile(Record, frozen=True):
    """A model that can be asked for. `sha256` is what its file must have, or ''."""

    name: str
    path: Path
    sha256: str = ""
    profile: str = ""
    licence: str = ""
    about: str = ""

    @property
    def present(self) -> bool:
        return self.path.is_file()


class _Known(Record, frozen=True):
    """A digest with all that shows whether the file has changed since."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str


def models() -> dict[str, ModelFile]:
    """All models known by name, in the order of the catalogues; the first of a name wins."""
    found: dict[str, ModelFile] = {}
    for folder in folders():
        for name, entry in _read(folder / CATALOGUE).items():
            model = ModelFile(
                name=name,
                path=folder / entry.file,
                sha256=entry.sha256,
                profile=entry.profile,
                licence=entry.licence,
                about=entry.about,
            )
            found.setdefault(name, model)
    own = _own_folder()
    if own is not None:
        listed = {model.path for model in found.values()}
        for path in sorted(own.glob("*.gguf")):
            if path not in listed:
                found.setdefault(path.stem, ModelFile(name=path.stem, path=path))
    return found


def find(name: str | Path) -> ModelFile:
    """The model that `name` stands for: a path to a file, or a name of the catalogue.

    Raises ModelFileError for a name that is not known.
    """
    text = str(name)
    if "://" in text:
        raise ModelFileError(
            f"{text} is a server, and has no file here",
            hint="`rlm-local doctor --model URL` tries it",
        )
    if isinstance(name, str) and _HOST.fullmatch(text) and not Path(text).exists():
        raise ModelFileError(
            f"there is no model named {text!r}", hint=f"a server is named by its URL: http://{text}"
        )
    if isinstance(name, Path) or os.sep in text or text.endswith(".gguf"):
        path = Path(text).expanduser()
        return ModelFile(name=path.stem, path=path)
    known = models()
    if text in known:
        return known[text]
    near = difflib.get_close_matches(text, known, n=1)
    names = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}"
    here = f"what has that name here is {os.curdir}{os.sep}{text}"
    raise ModelFileError(
        f"there is no model named {text!r}",
        hint=here
        if text.strip(".") and Path(text).exists()
        else f"{names}; or give the path of a GGUF file",
    )


def present(name: str | Path) -> ModelFile:
    """As `find`, and the file is there. Raises ModelFileError."""
    model = find(name)
    if model.path.is_dir():
        inside = next(iter(sorted(model.path.glob("*.gguf"))), None)
        raise ModelFileError(
            f"the model {model.path} is a folder, and a GGUF file is one file",
            hint=f"name the file in it: {inside}"
            if inside
            else "make one of it with llama.cpp's convert_hf_to_gguf.py",
        )
    if not model.present:
        raise ModelFileError(
            f"the model {model.name} has no file at {model.path}",
            hint="check the path; `rlm-local models list` shows what is here",
        )
    if not _is_utf8(model.path):
        raise ModelFileError(
            f"the path of the model {model.path} is not UTF-8, and llama.cpp reads no other",
            hint="rename it, or make a link to it",
        )
    return model


def adapter(given: str | Path) -> Adapter:
    """The LoRA adapter that a path stands for, or a text "FILE" or "FILE:SCALE".

    What follows the last colon is a scale if it is a number. The file is looked at when
    the model is loaded.
    """
    path, scale = str(given), 1.0
    if isinstance(given, str):
        file, colon, last = given.rpartition(":")
        with contextlib.suppress(ValueError):
            if colon and file:
                path, scale = file, float(last)
    if not path:
        raise ConfigError("a LoRA adapter has no file name", hint="write FILE or FILE:SCALE")
    file_path = Path(path).expanduser().absolute()
    if not _is_utf8(file_path):
        raise ConfigError(
            f"the path of the LoRA adapter {path} is not UTF-8, and llama.cpp reads no other",
            hint="rename it, or make a link to it",
        )
    return Adapter(path=str(file_path), scale=scale)


def _is_utf8(path: Path) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in str(path))


def verified(name: str | Path) -> ModelFile:
    """As `present`, and the file's SHA-256 is what the catalogue says (if it says).

    Raises ModelFileError for a file that is missing or not the one listed.
    """
    model = present(name)
    if model.sha256 and digest(model.path) != model.sha256:
        raise ModelFileError(
            f"{model.path} is not the file that the catalogue lists as {model.name}: its SHA-256 "
            f"is {digest(model.path)[:16]}…, not {model.sha256[:16]}…",
            hint="restore the file, or give its path to use it as it is",
        )
    return model


def digest(path: Path) -> str:
    """The SHA-256 of `path` in hexadecimal; from the cache while the file is unchanged."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            memo = _memo(path)
            known = _recall(memo)
            fresh = _Known(
                path=str(path.resolve()),
                size=status.st_size,
                mtime_ns=status.st_mtime_ns,
                inode=status.st_ino,
                sha256=known.sha256 if known else "",
            )
            if known == fresh:
                return fresh.sha256
            computed = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(f"the model {path} cannot be read: {error.strerror}") from error
    _remember(memo, msgspec.structs.replace(fresh, sha256=computed))
    return computed


def folders() -> list[Path]:
    """Where catalogues and their files are looked for; only the user's own needs to be there.

    Raises ConfigError.
    """
    package = Path(__file__).resolve().parent
    own = _own_folder()
    return [*([own] if own else []), package / "_models", package.parent / "models"]


def _own_folder() -> Path | None:
    named = os.environ.get(_OWN_FOLDER)
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise ConfigError(
            f"{_OWN_FOLDER} names {folder}, and there is no such folder",
            hint="name the folder that has your models, or unset it",
        )
    return folder


def _read(path: Path) -> dict[str, Entry]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the catalogue {path} cannot be read: {error}") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the catalogue {path} is not TOML: {error}", hint=_ENTRY_HINT) from error
    return {name: _entry(path, name, table) for name, table in tables.items()}


def _entry(path: Path, name: str, table: object) -> Entry:
    try:
        return msgspec.convert(table, type=Entry)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"the catalogue {path} is not valid: [{name}]: {error}", hint=_ENTRY_HINT
        ) from error


def _memo(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return cache_folder("digests") / f"{name}.json"


def _recall(memo: Path) -> _Known | None:
    try:
        return jsontext.decode(memo.read_bytes(), _Known)
    except (OSError, ValueError):
        return None  # never computed, or a damaged cache: compute


def _remember(memo: Path, known: _Known) -> None:
    with tempfile.NamedTemporaryFile(dir=memo.parent, delete=False) as file:
        file.write(jsontext.encode(known))
    os.replace(file.name, memo)
