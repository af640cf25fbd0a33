"""Reaching out: files, folders, network, processes, environment, other runs, the real time."""

from __future__ import annotations

import time

from tests.attacks.forge import MEMORY
from tests.attacks.suite import (
    HARMLESS,
    RESTARTED,
    SECRET,
    Case,
    Forks,
    World,
    cases,
    gives,
    raises,
    withstand,
)

NO_FILE = raises("OSError", "FileNotFoundError", "PermissionError", "NotADirectoryError")
NOT_THERE = raises("ModuleNotFoundError", "ImportError")
NO_NETWORK = raises("OSError", "gaierror", "PermissionError", "URLError", "ConnectionError")

FILES = [
    Case("reading a file", "open('/etc/passwd')", NO_FILE),
    Case("reading relative to the work folder", "open('report.txt').read()", NO_FILE),
    Case("reading upwards", "open('../' * 20 + 'etc/passwd')", NO_FILE),
    Case("writing a file", "open('/tmp/x', 'w')", NO_FILE),
    Case("appending to a file", "open('report.txt', 'a')", NO_FILE),
    Case("opening with flags", "import os; os.open('/', os.O_RDONLY)", NO_FILE),
    Case("making a folder", "import os; os.mkdir('/x')", NO_FILE),
    Case("listing a folder", "import os; os.listdir('/')", NO_FILE),
    Case("removing a file", "import os; os.remove('report.txt')", NO_FILE),
    Case("removing everything", "import shutil; shutil.rmtree('/')", NO_FILE),
    Case("renaming", "import os; os.rename('report.txt', 'x')", NO_FILE),
    Case("linking", "import os; os.symlink('/etc/passwd', 'x')", NO_FILE),
    Case("looking for a file", "import os; os.stat('/etc/passwd')", NO_FILE),
    Case("looking through pathlib",
         "import pathlib; list(pathlib.Path('/').glob('**/*')), pathlib.Path('/etc').exists()",
         gives("([], False)")),
    Case("a temporary file", "import tempfile; tempfile.TemporaryFile()", NO_FILE),
    Case("a database", "import sqlite3", NOT_THERE),
    Case("a dbm file", "import dbm; dbm.open('x', 'c')", HARMLESS),
    Case("a shelf", "import shelve; shelve.open('x')", HARMLESS),
    Case("the process's memory", "open('/proc/self/mem', 'r+b')", NO_FILE),
    Case("the machine's memory", "open('/dev/mem')", NO_FILE),
    Case("open descriptors", "import os\nn = 0\nfor fd in range(300):\n"
         " try: os.read(fd, 1)\n except OSError: n += 1\nn", gives("300")),
    Case("open descriptors, written",
         "import os\nn = 0\nfor fd in range(3, 300):\n try: os.write(fd, b'x')\n"
         " except OSError: n += 1\nn", gives("297")),
    Case("a descriptor's copy", "import os; os.dup(1)", raises("OSError", "AttributeError")),
    Case("a descriptor as a file", "open(5, 'wb', closefd=False).write(b'x')", NO_FILE),
    Case("closing descriptors", "import os; os.closerange(0, 1000); os.close(1)", NO_FILE),
    Case("truncating a descriptor", "import os; os.ftruncate(4, 0)", NO_FILE),
    Case("a mapped file", "import mmap", NOT_THERE),
    Case("input from the terminal", "input()", raises("EOFError")),
    Case("a password from the terminal", "import getpass; getpass.getpass()",
         raises("EOFError", "OSError", "ModuleNotFoundError")),
    Case("a log file", "import logging; logging.FileHandler('x.log')", NO_FILE),
    Case("loading code from a file",
         "import importlib.util as u\nu.module_from_spec(u.spec_from_file_location('m', "
         "'/tmp/m.py')).__spec__.loader.exec_module(None)", HARMLESS),
    Case("running a file", "import runpy; runpy.run_path('/etc/passwd')", NO_FILE),
]  # fmt: skip

NETWORK = [
    Case("a connection", "import socket; socket.create_connection(('127.0.0.1', 1))", NO_NETWORK),
    Case("a listening socket",
         "import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM).bind(('', 80))",
         NO_NETWORK),
    Case("a unix socket", "import socket; socket.socket(1, 1).connect('/run/docker.sock')",
         raises("OSError", "TypeError")),
    Case("a pair of sockets", "import socket; socket.socketpair()",
         raises("OSError", "AttributeError")),
    Case("a socket made of a descriptor",
         "import socket; socket.socket(fileno=3).send(b'x')", HARMLESS),
    Case("a name", "import socket; socket.getaddrinfo('example.com', 80)", NO_NETWORK),
    Case("a page", "import urllib.request; urllib.request.urlopen('http://example.com')",
         raises("URLError", "OSError", "ModuleNotFoundError")),
    Case("a page over TLS", "import ssl", NOT_THERE),
    Case("a file over a URL", "import urllib.request; urllib.request.urlopen('file:///etc/passwd')",
         raises("URLError", "OSError", "ModuleNotFoundError")),
    Case("a server", "import http.server; http.server.HTTPServer(('', 0), None)",
         raises("OSError", "ModuleNotFoundError")),
    Case("an event loop with a server",
         "import asyncio\nasyncio.run(asyncio.start_server(print, '127.0.0.1', 0))",
         raises("OSError", "AttributeError", "NotImplementedError", "RuntimeError")),
    Case("a browser", "import webbrowser; webbrowser.open('http://example.com')",
         gives("False")),
]  # fmt: skip

PROCESS = [
    Case("a command", "import os; os.system('id')", raises("AttributeError", "OSError")),
    Case("a process", "import subprocess; subprocess.run(['ls'])", raises("OSError")),
    Case("a fork", "import os; os.fork()", raises("AttributeError", "OSError")),
    Case("another program", "import os; os.execv('/bin/sh', ['sh'])",
         raises("AttributeError", "OSError")),
    Case("a signal to the parent", "import os; os.kill(os.getppid(), 9)",
         raises("AttributeError", "OSError")),
    Case("a signal to itself", "import os; os.kill(os.getpid(), 9)",
         raises("AttributeError", "OSError")),
    Case("many processes", "import multiprocessing; multiprocessing.Process(target=print).start()",
         raises("ModuleNotFoundError", "ImportError", "OSError", "AttributeError", "ValueError")),
    Case("a thread", "import threading; threading.Thread(target=print).start()",
         raises("RuntimeError")),
    Case("a bare thread", "import _thread; _thread.start_new_thread(print, ())",
         raises("RuntimeError")),
    Case("a pool", "from concurrent.futures import ThreadPoolExecutor as T\n"
         "T().submit(print).result()", raises("RuntimeError")),
    Case("an abort", "import os; os.abort()", RESTARTED),
    Case("an exit", "import os; os._exit(0)", RESTARTED),
    Case("a polite exit", "import sys; sys.exit(3)", raises("SystemExit")),
    Case("a segmentation fault", "import faulthandler; faulthandler._sigsegv()", RESTARTED),
    Case("a fatal error", "import faulthandler; faulthandler._fatal_error_c_thread()", HARMLESS),
    Case("a timer", "import signal; signal.alarm(1); signal.setitimer(0, 1)",
         raises("AttributeError")),
    Case("limits of the process", "import resource", NOT_THERE),
    Case("the environment", "import os; dict(os.environ), os.getenv('API_KEY')",
         gives("({}, None)")),
    Case("a changed environment", "import os; os.putenv('PATH', 'x'); os.environ['A'] = 'b'",
         HARMLESS),
    Case("the user", "import os; os.getlogin()", raises("AttributeError", "OSError")),
    Case("the home", "import os; os.path.expanduser('~')", gives("'~'")),
    Case("the arguments", "import sys; sys.argv, sys.orig_argv, sys.executable, sys.path",
         gives("([''], [], '', [])")),
]  # fmt: skip


@cases(FILES, NETWORK, PROCESS)
def test_world(fork: Forks, world: World, case: Case) -> None:
    ran = withstand(fork, world, case)
    assert SECRET not in repr(ran)


def test_the_clock_is_not_the_machine_s(fork: Forks) -> None:
    value = fork().value("import time; int(time.time())")
    assert value is not None
    assert abs(int(value) - time.time()) > 3600
    assert fork().value("import time; int(time.time())") == value


def test_randomness_is_not_the_machine_s(fork: Forks) -> None:
    code = (
        "import os, random, uuid, secrets\n"
        "os.urandom(8), random.random(), uuid.uuid4(), secrets.token_hex(4)"
    )
    assert fork().value(code) == fork().value(code)


def test_no_other_run_s_variables_are_seen(fork: Forks) -> None:
    first, second = fork("first's text"), fork("second's text")
    first.run("import math, builtins; math.note = builtins.note = note = 'first was here'")
    assert second.value(
        "import math, builtins; [hasattr(m, 'note') for m in (math, builtins)], 'note' in globals()"
    ) == ("([False, False], False)")


def test_no_other_guest_s_memory_is_seen(fork: Forks) -> None:
    """What one guest has written is in no page that a later one finds."""
    count = "memory.count(''.join(reversed('paeh-eht-ni')).encode(), 0, {})"
    first, second = fork(), fork()
    for guest in (first, second):
        guest.run(MEMORY)
    first.run("words = [f'{i:09} in-the-heap' for i in range(10**5)]")
    assert int(first.value(count.format(36_000_000)) or 0) > 10_000
    assert int(second.value(count.format(32_000_000)) or 0) < 10
    first.repl.close()
    third = fork()
    third.run(MEMORY)
    assert int(third.value(count.format(32_000_000)) or 0) < 10
