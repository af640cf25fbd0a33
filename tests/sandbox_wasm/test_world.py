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


def test_the_library_knows_its_files(bare: BareGuest) -> None:
    # `strptime` asks for its own file's name to warn about a day without a year.
    assert bare.value("import os, json; os.__file__, json.__file__") == (
        "('/lib/python3.13/os.py', '/lib/python3.13/json/__init__.py')"
    )
    assert bare.value(
        "from datetime import datetime; datetime.strptime('Mar 5', '%b %d').month"
    ) == ("3")


def test_log2_is_exact_for_powers_of_two_and_right_for_tiny_numbers(bare: BareGuest) -> None:
    assert bare.value("import math; [n for n in range(-1074, 1024) if math.log2(2.0**n) != n]") == (
        "[]"
    )
    tiny, above_one = eval(bare.value("math.log2(1e-308), math.log2(1 + 2**-52)"))
    assert tiny == pytest.approx(-1023.1538532253076, rel=1e-15)
    assert above_one == pytest.approx(3.203426503814917e-16, rel=1e-15)
    assert bare.value("math.log2(float('inf')), math.isnan(math.log2(float('nan')))") == (
        "(inf, True)"
    )
