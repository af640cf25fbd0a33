"""The guest has no world: no files, no environment, no network. And the library it has."""

from __future__ import annotations

import pytest

from tests.sandbox_wasm.bare import BareGuest

#: What needs another library, threads, other processes or a terminal, and so cannot be imported.
NAMES = (
    "_bz2 _ctypes _curses _curses_panel _dbm _gdbm _hashlib _interpchannels _interpqueues "
    "_interpreters _lzma _multiprocessing _overlapped _posixshmem _posixsubprocess _scproxy "
    "_sqlite3 _ssl _tkinter _uuid _winapi _wmi bz2 ctypes curses dbm ensurepip fcntl "
    "grp gzip idlelib lzma mmap msvcrt nt pty pwd readline resource sqlite3 ssl syslog termios "
    "tkinter tty turtle turtledemo venv winreg winsound zlib"
)
MISSING = frozenset(NAMES.split())


@pytest.mark.parametrize(
    "source",
    [
        "open('/etc/passwd')",
        "open('x', 'w')",
        "open(0)",
        "os.listdir('/')",
        "os.open('/', 0)",
        "os.mkdir('/x')",
        "os.stat('/')",
        "os.rename('/a', '/b')",
        "os.unlink('/a')",
        "os.read(0, 1)",
        "os.write(3, b'x')",
        "os.readlink('/a')",
        "os.symlink('/a', '/b')",
        "os.truncate('/a', 1)",
        "os.lseek(1, 0, 0)",
        "os.utime('/a')",
        "socket.socket()",
        "socket.getaddrinfo('localhost', 80)",
        "socket.gethostbyname('localhost')",
        "socket.create_connection(('127.0.0.1', 80))",
        "select.select([0], [], [])",
        "subprocess.run(['true'])",
        "tempfile.TemporaryFile()",
        "threading.Thread(target=print).start()",
        "urllib.request.urlopen('http://127.0.0.1/')",
    ],
)
def test_the_world_is_not_there(bare: BareGuest, source: str) -> None:
    bare.run("import os, socket, select, subprocess, tempfile, threading, urllib.request")
    ran = bare.run(source)
    assert ran.status == 0
    assert ran.error is not None
    assert bare.value("1+1") == "2"


def test_the_environment_and_the_arguments_are_empty(bare: BareGuest) -> None:
    assert bare.value("import os, sys; (dict(os.environ), sys.argv, sys.path)") == "({}, [''], [])"


def test_the_standard_library_is_inside(bare: BareGuest) -> None:
    bare.run(
        """
import sys, contextlib, io
missing = []
for name in sorted(sys.stdlib_module_names):
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # `this` talks
            __import__(name)
    except ImportError:
        missing.append(name)
"""
    )
    assert set(bare.run("print(*missing)").out.decode().split()) == MISSING
