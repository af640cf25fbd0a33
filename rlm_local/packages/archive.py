"""A package as it is kept: a plain zip archive that any Python 3.13 could import from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

#: So that the same files make the same archive.
_DATE = (1980, 1, 1, 0, 0, 0)


def write(files: Mapping[str, bytes]) -> bytes:
    """An archive of `files`, by path, uncompressed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            archive.writestr(zipfile.ZipInfo(path, _DATE), files[path])
    return stream.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    """The files of an archive that `write` made."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {path: archive.read(path) for path in archive.namelist()}
