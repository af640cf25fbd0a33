"""Replies of models that are kept for other runs: only where a run asks for it.

One SQLite file in the cache folder, for any number of processes at once. A reply is
found by the identity of the model that gave it and by all that it was asked. It can
always be computed again, so whatever is wrong with the file ends its use and nothing
else: it is said once, and the run goes on.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from rlm_local.records import Completion

FILE = "replies.sqlite3"
MOST_BYTES = 512 << 20
_VERSION = 1
_DIGEST_BYTES = 16
_BUSY_SECONDS = 2.0
_AT_ONCE = 500  # keys of one statement
#: SQLite quotes what it cannot read, and Python cannot always read that.
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_TABLE = """
    CREATE TABLE IF NOT EXISTS replies (
        key BLOB PRIMARY KEY,
        reply BLOB NOT NULL,  -- a digest of the key and the rest, then a Completion
        used REAL NOT NULL    -- Unix time
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS replies_used ON replies (used);
"""


class ReplyStore:
    """Replies in `folder`, up to `most_bytes`; those used longest ago make room. For any thread.

    `notice` is told in a sentence what keeps the store from being used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most_bytes: int = MOST_BYTES,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = folder / FILE
        self._most_bytes = most_bytes
        self._notice = notice
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None
        try:
            self._file = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare(self._file)
        except _ERRORS as error:
            self._give_up(error)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Completion]:
        """The replies that are kept under `keys`."""
        wanted = list(dict.fromkeys(keys))
        found: dict[bytes, Completion] = {}
        with self._lock:
            try:
                for start in range(0, len(wanted), _AT_ONCE):
                    self._read(wanted[start : start + _AT_ONCE], found)
            except _ERRORS as error:
                self._failed(error)
        return found

    def put(self, replies: Mapping[bytes, Completion]) -> None:
        """Keep `replies`, each under its key."""
        rows = [(key, _packed(key, reply), time.time()) for key, reply in replies.items()]
        with self._lock:
            if self._file is None or not rows:
                return
            try:
                self._file.execute("BEGIN IMMEDIATE")
                try:
                    self._file.executemany("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", rows)
                    self._make_room(self._file)
                    self._file.execute("COMMIT")
                except BaseException:
                    if self._file.in_transaction:
                        self._file.execute("ROLLBACK")
                    raise
            except _ERRORS as error:
                self._failed(error)

    def close(self) -> None:
        """Let go of the file. Closing twice is harmless."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _prepare(self, file: sqlite3.Connection) -> None:
        file.execute("PRAGMA trusted_schema = OFF")
        file.execute("PRAGMA cell_size_check = ON")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")  # whole after a crash, if not the latest
        (version,) = file.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}")
        file.executescript(_TABLE)
        file.execute(f"PRAGMA user_version = {_VERSION}")

    def _read(self, keys: list[bytes], found: dict[bytes, Completion]) -> None:
        if self._file is None:
            return
        marks = ", ".join("?" * len(keys))
        rows = self._file.execute(f"SELECT key, reply FROM replies WHERE key IN ({marks})", keys)
        for key, packed in rows.fetchall():
            reply = _unpacked(key, packed)
            if reply is None:
                raise sqlite3.DatabaseError("a reply in it is not what was written")
            found[key] = reply
        now = time.time()
        used = [(now, key) for key in keys if key in found]
        self._file.executemany("UPDATE replies SET used = ? WHERE key = ?", used)

    def _make_room(self, file: sqlite3.Connection) -> None:
        """Remove tenths of all replies until the rest fits."""
        while _used_bytes(file) > self._most_bytes:
            (count,) = file.execute("SELECT COUNT(*) FROM replies").fetchone()
            if not count:
                return
            file.execute(
                "DELETE FROM replies WHERE key IN (SELECT key FROM replies ORDER BY used LIMIT ?)",
                [-(-count // 10)],
            )

    def _failed(self, error: Exception) -> None:
        # Another process may write for a while; all else will not be better the next time.
        if getattr(error, "sqlite_errorcode", None) not in _PASSING:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._notice(
            f"the kept replies in {self._path} are not used ({error}); if this stays so, remove "
            "the file"
        )


def _used_bytes(file: sqlite3.Connection) -> int:
    sizes = [
        file.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    ]
    pages, free, size = map(int, sizes)
    return (pages - free) * size


def _packed(key: bytes, reply: Completion) -> bytes:
    body = msgspec.msgpack.encode(reply)
    return _digest(key, body) + body


def _unpacked(key: bytes, packed: object) -> Completion | None:
    """The reply, or None if it is not what `_packed` made."""
    if not isinstance(packed, bytes):
        return None
    digest, body = packed[:_DIGEST_BYTES], packed[_DIGEST_BYTES:]
    if digest != _digest(key, body):
        return None
    try:
        return msgspec.msgpack.decode(body, type=Completion)
    except msgspec.MsgspecError:
        return None


def _digest(key: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(key + body, digest_size=_DIGEST_BYTES).digest()
