"""Reading a wheel, and refusing one that is damaged, hostile or not pure Python.

A wheel is a zip archive with a `.dist-info` folder whose RECORD has the digest of
every file. Nothing is unpacked to disk: a file's path is a key here, and stays one.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import io
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from email.parser import BytesParser
from email.policy import compat32
from pathlib import Path
from typing import NamedTuple

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from rlm_local.errors import PackageError
from rlm_local.packages.image import MAX_BYTES
from rlm_local.units import format_bytes

#: The guest's Python.
PYTHON = (3, 13)
PYTHON_VERSION = "3.13.5"
#: What markers such as `sys_platform == "win32"` are asked about.
ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": PYTHON_VERSION,
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "",
    "platform_version": "",
    "python_full_version": PYTHON_VERSION,
    "python_version": "3.13",
    "sys_platform": "wasi",
    "extra": "",
}
MAX_FILES = 10_000
MAX_PATH_CHARS = 400

#: Modules that an older Python has, and the guest's no longer: a package may bring them.
_GONE = frozenset(
    """_crypt _msi aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp
    lib2to3 mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu
    xdrlib""".split()  # noqa: SIM905 - a list has a line for each
)
_NATIVE_SUFFIX = re.compile(r"\.(?:so(?:\.\d+)*|pyd|dll|dylib)$", re.IGNORECASE)
_NATIVE_BEGINNINGS = (
    b"\x7fELF",
    b"\0asm",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
)
_OTHER_HINT = (
    f"look for another version: pip download --no-deps --python-version {PYTHON_VERSION} PACKAGE"
)
_UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_HASHES = ("sha256", "sha384", "sha512")
#: What zipfile raises on the way through a damaged archive; ValueError: of names and places.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Wheel(NamedTuple):
    """A wheel that the sandbox can take. `files` are what it installs where imports
    start, by path; `needs` the names of the distributions that it requires there;
    `modules` what can be imported from it, at the top."""

    name: str
    version: str
    files: Mapping[str, bytes]
    needs: tuple[str, ...]
    modules: tuple[str, ...]


def read_wheel(path: Path) -> Wheel:
    """Read and check the wheel at `path`. Raises PackageError."""
    label = path.name
    name, version = _name_and_version(label)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked_members(label, archive)
            content = {info.filename: archive.read(info) for info in members}
    except OSError as error:
        raise PackageError(
            f"{path} cannot be read: {error.strerror or error}",
            hint="name a wheel on this machine; `pip download --no-deps PACKAGE` fetches one",
        ) from error
    except _DAMAGE as error:
        raise PackageError(f"{label} is damaged: {error}", hint="fetch it again") from error
    info = _info_folder(label, content, name, version)
    _check_record(label, content, info)
    _check_native(label, content, info)
    metadata = _headers(content[f"{info}/METADATA"])
    _check_metadata(label, metadata, name, version)
    files = _installed(label, content)
    modules = tuple(sorted({_top(file) for file in files if _is_module(file)}))
    _check_modules(label, modules)
    return Wheel(name, version, files, _needs(metadata), modules)


def _name_and_version(label: str) -> tuple[str, str]:
    try:
        name, version, _, tags = parse_wheel_filename(label)
    except InvalidWheelFilename as error:
        raise PackageError(
            f"{label} is not the name of a wheel",
            hint="a wheel's name is like attrs-25.3.0-py3-none-any.whl",
        ) from error
    native = [tag for tag in tags if tag.abi != "none" or tag.platform != "any"]
    if len(native) == len(tags):
        tag = min(map(str, native))
        raise PackageError(
            f"{name} {version} has native code ({tag}), which the sandbox cannot run",
            hint="only wheels for `none-any` are pure Python",
        )
    if tags.isdisjoint(_suitable_tags()):
        raise PackageError(
            f"{name} {version} is for {', '.join(sorted(tag.interpreter for tag in tags))}, "
            f"and the sandbox is CPython {PYTHON_VERSION}",
            hint=_OTHER_HINT,
        )
    return name, str(version)


def _suitable_tags() -> set[Tag]:
    minor = f"cp{PYTHON[0]}{PYTHON[1]}"
    return set(compatible_tags(PYTHON, minor, ["any"]))


# ----------------------------------------------------------------------- the archive


def _checked_members(label: str, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The archive's files, none of which is read yet."""
    members = archive.infolist()
    if len(members) > MAX_FILES:
        raise PackageError(f"{label} has {len(members):,} files, and at most {MAX_FILES:,} fit")
    size = sum(member.file_size for member in members)
    if size > MAX_BYTES:
        raise PackageError(
            f"{label} unpacks to {format_bytes(size)}, and at most {format_bytes(MAX_BYTES)} fit"
        )
    seen: set[str] = set()
    for member in members:
        _check_path(label, member)
        if member.filename in seen:
            raise PackageError(f"{label} has the file {member.filename!r} twice")
        seen.add(member.filename)
        if member.flag_bits & 0x1 or member.compress_type not in _METHODS:
            raise PackageError(f"{label} is encrypted, or packed in a way that wheels are not")
    files = [member for member in members if not member.is_dir()]
    folders = {parent for member in files for parent in _parents(member.filename)}
    for member in files:
        if member.filename in folders:
            raise PackageError(f"{label} has {member.filename!r} as a file and as a folder")
    return files


def _check_path(label: str, member: zipfile.ZipInfo) -> None:
    # `orig_filename` is what the archive says; zipfile cuts `filename` at a NUL.
    path = member.orig_filename
    parts = path.removesuffix("/").split("/")
    plain = (
        len(path) <= MAX_PATH_CHARS
        and path.isprintable()
        and not set(path) & set('\\:*?"<>|')
        and not any(part in ("", ".", "..") for part in parts)
    )
    if not plain:
        raise PackageError(f"{label} has a file with the path {path[:100]!r}, which is not allowed")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise PackageError(f"{label} has {path!r}, which is a link or a device")


def _parents(path: str) -> Iterable[str]:
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


# ---------------------------------------------------------------------- the dist-info


def _info_folder(label: str, content: Mapping[str, bytes], name: str, version: str) -> str:
    """The `.dist-info` folder, with the three files that are read."""
    found = {_top(path) for path in content if _top(path).endswith(".dist-info")}
    if len(found) != 1:
        raise PackageError(f"{label} has {len(found)} .dist-info folders, and a wheel has one")
    (folder,) = found
    its_name, _, its_version = folder.removesuffix(".dist-info").partition("-")
    if canonicalize_name(its_name) != name or not _is_version(its_version, version):
        raise PackageError(f"{label} has the folder {folder}, which is another distribution's")
    for file in ("METADATA", "RECORD", "WHEEL"):
        if f"{folder}/{file}" not in content:
            raise PackageError(f"{label} has no {folder}/{file}", hint="fetch it again")
    return folder


def _check_record(label: str, content: Mapping[str, bytes], info: str) -> None:
    """Every file has a line in RECORD with its digest and its size, and is there."""
    try:
        text = content[f"{info}/RECORD"].decode("utf-8")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        recorded = {path: (digest, size) for path, digest, size in rows}
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise PackageError(f"the RECORD of {label} cannot be read: {error}") from error
    unlisted = {f"{info}/{file}" for file in _UNLISTED}
    missing = sorted(recorded.keys() - content.keys() - unlisted)
    if missing:
        raise PackageError(f"{label} lacks {missing[0]}, which its RECORD lists")
    for path, data in content.items():
        if path in unlisted:
            continue
        if path not in recorded:
            raise PackageError(f"{label} has {path}, which its RECORD does not list")
        _check_digest(label, path, data, *recorded[path])


def _check_digest(label: str, path: str, data: bytes, written: str, size: str) -> None:
    kind, _, value = written.partition("=")
    if kind not in _HASHES:
        raise PackageError(
            f"the RECORD of {label} has no digest of {path} that can be trusted ({written!r})"
        )
    digest = base64.urlsafe_b64encode(hashlib.new(kind, data).digest()).rstrip(b"=")
    same = hmac.compare_digest(digest, value.encode("utf-8", "replace").rstrip(b"="))
    if not same or (size and size != str(len(data))):
        raise PackageError(
            f"{path} of {label} is not the file that its RECORD lists", hint="fetch it again"
        )


def _check_native(label: str, content: Mapping[str, bytes], info: str) -> None:
    for path, data in content.items():
        if _NATIVE_SUFFIX.search(path) or data.startswith(_NATIVE_BEGINNINGS):
            raise PackageError(
                f"{label} has native code ({path}), which the sandbox cannot run",
                hint="only pure-Python packages can be added",
            )
    pure = _headers(content[f"{info}/WHEEL"]).get("Root-Is-Purelib", ["true"])
    if pure[-1].strip().lower() != "true":
        raise PackageError(f"{label} says of itself that it is not pure Python")


def _check_metadata(label: str, metadata: Mapping[str, list[str]], name: str, version: str) -> None:
    told_name = metadata.get("Name", [""])[0]
    told_version = metadata.get("Version", [""])[0]
    if canonicalize_name(told_name) != name or not _is_version(told_version, version):
        raise PackageError(
            f"the METADATA of {label} is that of {told_name or '?'} {told_version or '?'}"
        )
    for wanted in metadata.get("Requires-Python", []):
        try:
            suits = SpecifierSet(wanted).contains(PYTHON_VERSION, prereleases=True)
        except InvalidSpecifier:  # old tools wrote what no tool reads today
            continue
        if not suits:
            raise PackageError(
                f"{name} {version} wants Python {wanted}, and the sandbox has {PYTHON_VERSION}",
                hint=_OTHER_HINT,
            )


def _needs(metadata: Mapping[str, list[str]]) -> tuple[str, ...]:
    found = set()
    for line in metadata.get("Requires-Dist", []):
        try:
            wanted = Requirement(line)
            is_needed = wanted.marker is None or wanted.marker.evaluate(dict(ENVIRONMENT))
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName):
            continue  # what no tool can read: the import says what is missing
        if is_needed:
            found.add(str(canonicalize_name(wanted.name)))
    return tuple(sorted(found))


def _headers(data: bytes) -> dict[str, list[str]]:
    message = BytesParser(policy=compat32).parsebytes(data, headersonly=True)
    headers: dict[str, list[str]] = {}
    for key, value in message.items():
        headers.setdefault(key.title(), []).append(str(value))
    return headers


# --------------------------------------------------------------------- what is installed


def _installed(label: str, content: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files by the path at which they can be imported; scripts and headers are left out."""
    files: dict[str, bytes] = {}
    for path, data in content.items():
        place = path
        if _top(path).endswith(".data"):
            _, scheme, *rest = path.split("/", 2)
            if scheme not in ("purelib", "platlib") or not rest:
                continue
            place = rest[0]
        if place in files:
            raise PackageError(f"{label} installs {place} twice")
        files[place] = data
    return files


def _check_modules(label: str, modules: Iterable[str]) -> None:
    for module in modules:
        is_own = module in sys.stdlib_module_names and module not in _GONE
        if is_own or module.startswith("_rlm") or module == "__main__":
            raise PackageError(
                f"{label} brings a module {module}, which the sandbox has already",
                hint="the standard library's own cannot be replaced",
            )


def _is_module(path: str) -> bool:
    return path.endswith((".py", ".pyc")) and not _top(path).endswith(".dist-info")


def _top(path: str) -> str:
    top, slash, _ = path.partition("/")
    return top if slash else top.partition(".")[0]


def _is_version(written: str, version: str) -> bool:
    """Whether `written` is a spelling of `version`; a folder's name has `_` for `-`."""
    try:
        return Version(written.replace("_", "-")) == Version(version)
    except InvalidVersion:
        return False
