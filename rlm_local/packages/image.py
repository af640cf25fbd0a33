"""The image of packages: what a guest is handed before its snapshot (CONTRACT.md, "Packages")."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

#: What all packages of a sandbox may have: they lie in its 4 GiB, and in each snapshot.
MAX_BYTES = 64 << 20


class Packages(NamedTuple):
    """What a sandbox makes importable. `digest` names the content, '' if there is none;
    `image` makes the image, when a snapshot needs it. Raises PackageError."""

    digest: str
    image: Callable[[], bytes]


def packed(files: Mapping[str, bytes], *, compiled: bool = True) -> bytes:
    """An image of `files`, by their path from where imports start.

    `compiled`: the guest compiles every module at once, for all forks; otherwise
    a module is compiled where it is imported.
    """
    index = {"files": [(path, len(data)) for path, data in files.items()], "compile": compiled}
    head = msgspec.json.encode(index)
    return b"".join([struct.pack("<I", len(head)), head, *files.values()])


NO_PACKAGES = Packages("", lambda: packed({}))
