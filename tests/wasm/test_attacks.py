"""Hostile and careless code: a clean result in time, the host alive, the next cell works."""

from __future__ import annotations

import time

import pytest

from rlm_local.records import Observation
from tests.wasm.conftest import Fork, Guest

CELL_SECONDS = 0.5
SLACK_SECONDS = 0.5


def attack(guest: Guest, code: str) -> Observation:
    """Run it in a Python that has the variable `kept`; check what holds for all attacks."""
    guest.run("kept = 'safe'")
    started = time.monotonic()
    ran = guest.run(code, cell_seconds=CELL_SECONDS)
    taken = time.monotonic() - started
    assert taken < CELL_SECONDS + SLACK_SECONDS
    assert guest.value("len(context), 6 * 7") == "(4400, 42)"
    if not ran.restarted:
        assert guest.value("kept") == "'safe'"
    return ran


INTERRUPTED = {
    "endless loop": "while True: pass",
    "huge power": "9**9**9",
    "catastrophic regex": r"import re; re.match(r'(a+)+$', 'a' * 40 + 'b')",
    "endless print": "while True: print('x' * 1000)",
    "endless repr": "class R:\n    def __repr__(self):\n        while True: pass\nR()",
    "endless generator": "','.join(str(i) for i in range(10**12))",
}


@pytest.mark.parametrize("code", INTERRUPTED.values(), ids=INTERRUPTED.keys())
def test_endless_code_is_interrupted_and_its_variables_survive(guest: Guest, code: str) -> None:
    ran = attack(guest, code)
    assert ran.error is not None
    assert ran.error.type == "KeyboardInterrupt"
    assert "0.5 s, which is the limit of a cell" in ran.error.message
    assert not ran.restarted


STOPPED = {
    "swallows interrupts": "while True:\n try:\n  while True: pass\n except BaseException: pass",
    "loop in C": "sum(range(10**13))",
    "endless list": "list(iter(int, 1))",
    "abort": "import os; os.abort()",
    "exit": "import os; os._exit(0)",
    "segfault": "import faulthandler; faulthandler._sigsegv()",
    "stack overflow in C": "t = ()\nfor _ in range(300_000): t = (t,)\nhash(t)",
    "no builtins": "import builtins; builtins.__dict__.clear()",
}


@pytest.mark.parametrize("code", STOPPED.values(), ids=STOPPED.keys())
def test_what_cannot_be_interrupted_is_stopped_and_started_anew(guest: Guest, code: str) -> None:
    ran = attack(guest, code)
    assert ran.restarted
    assert ran.error is not None
    assert ran.error.type == "GuestTrapped"
    assert ran.error.message.startswith("the Python was stopped and started anew")


REFUSED = {
    "huge string": ("'x' * 10**10", "OverflowError"),
    "large string": ("'x' * (2**31 - 1)", "MemoryError"),
    "string fork bomb": ("s = 'x'\nwhile True: s += s", "MemoryError"),
    "list of strings": ("l = []\nwhile True: l.append(bytes(10**6))", "MemoryError"),
    "cyclic garbage": (
        "import gc; gc.disable()\nwhile True:\n    a = ['x' * 10**6]; a.append(a); a = None\n"
        "    b = bytes(10**6); c = [b]; c.append(c)",
        "MemoryError",
    ),
    "format width": ("'%0999999999d' % 1", "MemoryError"),
    "recursion": ("def f(): return f()\nf()", "RecursionError"),
    "nested parentheses": ("eval('(' * 100_000)", "MemoryError"),
    "nested lists": ("eval('[' * 100_000 + ']' * 100_000)", "MemoryError"),
    "nested json": ("import json; json.loads('[' * 10**6)", "RecursionError"),
    "nested regex": ("import re; re.compile('(' * 10**5 + ')' * 10**5)", "RecursionError"),
    "nested repr": ("t = []\nfor _ in range(10**5): t = [t]\nrepr(t)", "RecursionError"),
    "long number": ("int('9' * 10**6)", "ValueError"),
    "threads": ("import threading; threading.Thread(target=print).start()", "RuntimeError"),
    "process": ("import subprocess; subprocess.run(['ls'])", "OSError"),
    "file": ("open('/etc/passwd')", "FileNotFoundError"),
    "new file": ("open('/tmp/x', 'w')", "OSError"),
    "folder": ("import os; os.listdir('/')", "OSError"),
    "socket": ("import socket; socket.create_connection(('127.0.0.1', 1))", "OSError"),
    "input": ("input()", "EOFError"),
    "ctypes": ("import ctypes", "ModuleNotFoundError"),
    "text at a wild address": ("import _rlm; _rlm.text(2**32 - 8, 100, 1, True)", "ValueError"),
    "text that is too long": ("import _rlm; _rlm.text(0, 2**31 - 1, 4, False)", "ValueError"),
    "write to another file": ("import _rlm; _rlm.write(5, 'x')", "ValueError"),
}


@pytest.mark.parametrize(("code", "kind"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_there_is_an_ordinary_error(guest: Guest, code: str, kind: str) -> None:
    ran = attack(guest, code)
    assert not ran.restarted
    assert ran.error is not None
    expected = {"OSError": {"OSError", "FileNotFoundError", "PermissionError"}}
    assert ran.error.type in expected.get(kind, {kind})


HARMLESS = {
    "sleep": ("import time; time.sleep(60); 'slept'", "'slept'"),
    "environment": ("import os; dict(os.environ)", "{}"),
    "deep value": ("t = []\nfor _ in range(10**5): t = [t]\nt", None),
    "its own reference": ("a = []; a.append(a); a", "[[...]]"),
    "bad host call": ("import _rlm; _rlm.call(b'\\xff{').startswith(b'{\"error\"')", "True"),
    "unknown host call": ("import _rlm; b'NameError' in _rlm.call(b'{\"name\":\"x\","
                          "\"arguments\":[]}')", "True"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "value"), HARMLESS.values(), ids=HARMLESS.keys())
def test_harmless_code_goes_through(guest: Guest, code: str, value: str | None) -> None:
    ran = attack(guest, code)
    assert ran.error is None
    if value is not None:
        assert ran.value == value


def test_memory_that_is_held_is_won_back(guest: Guest) -> None:
    guest.run("small = [1, 2, 3]; rows = []")
    ran = guest.run("while True: rows.append('x' * 1000 + str(len(rows)))")
    assert ran.error is not None
    assert ran.error.message == ("out of memory; to go on, these variables were deleted: rows")
    assert not ran.restarted
    assert guest.value("small, 'rows' in globals()") == "([1, 2, 3], False)"
    assert guest.value("len('x' * 10**8)") == "100000000"


def test_what_the_failed_cell_made_goes_first(guest: Guest) -> None:
    guest.run("old = list(range(10**6))")
    ran = guest.run("new = 'n' * 10**6\nbomb = []\nwhile True: bomb.append(bytes(10**5))")
    assert ran.error is not None
    assert "deleted: new, bomb" in ran.error.message
    assert guest.value("len(old)") == "1000000"


def test_memory_out_of_reach_restarts_the_python(guest: Guest) -> None:
    ran = guest.run("import math\nmath.bomb = []\nwhile True: math.bomb.append(bytes(10**5))")
    assert ran.restarted
    assert ran.error is not None
    assert ran.error.message.endswith("its memory is used up")
    assert guest.value("1 + 1") == "2"


def test_bombs_in_a_row_leave_room_for_ordinary_work(fork: Fork) -> None:
    guest = fork("text", memory_bytes=128 << 20)
    for _ in range(3):
        guest.run("s = 'x'\nwhile True: s += s")
        guest.run("l = []\nwhile True: l.append('x' * 1000 + str(len(l)))")
    assert guest.value("len(sorted(str(n) for n in range(10**5))), len('x' * 10**7)") == (
        "(100000, 10000000)"
    )


def test_the_memory_limit_is_the_one_asked_for(fork: Fork) -> None:
    small, large = fork(memory_bytes=96 << 20), fork(memory_bytes=400 << 20)
    code = "len(bytes(150 << 20))"
    refused = small.run(code).error
    assert refused is not None
    assert refused.type == "MemoryError"
    assert large.value(code) == str(150 << 20)
