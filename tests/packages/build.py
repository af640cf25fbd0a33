"""Wheels as tests want them: right, or wrong in one way."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: py3-none-any\n"


def digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def content(
    files: Mapping[str, str | bytes],
    *,
    name: str = "tiny",
    version: str = "1.0",
    metadata: str = "",
    pure: str = "true",
    record: Mapping[str, tuple[str, str] | None] | None = None,
) -> dict[str, bytes]:
    """All files of a wheel. `record` changes lines of its RECORD, or leaves them out."""
    info = f"{name}-{version}.dist-info"
    found = {
        path: data if isinstance(data, bytes) else data.encode() for path, data in files.items()
    }
    found[f"{info}/METADATA"] = (METADATA.format(name=name, version=version) + metadata).encode()
    found[f"{info}/WHEEL"] = WHEEL.format(pure=pure).encode()
    lines = {path: (digest(data), str(len(data))) for path, data in found.items()}
    lines[f"{info}/RECORD"] = ("", "")
    stream = io.StringIO()
    for path, line in {**lines, **(record or {})}.items():
        if line is not None:
            csv.writer(stream, lineterminator="\n").writerow([path, *line])
    found[f"{info}/RECORD"] = stream.getvalue().encode()
    return found


def wheel(
    folder: Path,
    files: Mapping[str, str | bytes] = {"tiny.py": "value = 1\n"},
    *,
    name: str = "tiny",
    version: str = "1.0",
    tag: str = "py3-none-any",
    **options: object,
) -> Path:
    """A wheel in `folder`; `options` as for `content`."""
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data in content(files, name=name, version=version, **options).items():  # type: ignore[arg-type]
            archive.writestr(file, data)
    return path
