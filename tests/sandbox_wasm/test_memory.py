"""Memory and stack: a bomb is an exception, and the session goes on after any number of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sandbox_wasm.bare import BareGuest

Start = Callable[..., BareGuest]
MIB = 1 << 20

BOMBS = [
    "x = 'x' * 10**9",
    "x = 'x' * (2**31 - 1)",
    "x = bytearray(2**31 - 1)",
    "x = []\nwhile True: x.append('y' * 1_000_000)",
    "x = []\nwhile True: x.append('y' * 600)",
    "x = []\nwhile True: x.append([])",
    "x = 'a'\nwhile True: x += x",
    "x = 'a' * 1000\nwhile True: x = x + 'b' * 1_000_000",
    "x = {}\nwhile True: x[len(x)] = str(len(x))",
    "x = list(range(10**8))",
    "x = set(range(10**8))",
    "x = b''.join([b'x' * 10**6] * 1000)",
    "x = __import__('itertools'); x = list(x.repeat(0))",
]
PROBE = """
def kilobytes_left():
    pieces = []
    try:
        while True: pieces.append(bytearray(100_000))
    except MemoryError:
        return len(pieces) * 100
"""
WORK = """
import json, re
words = re.findall(r'\\w+', 'the quick brown fox ' * 5000)
counts = {w: words.count(w) for w in set(words)}
text = json.dumps([counts] * 100)
assert json.loads(text)[99]['fox'] == 5000
"""


@pytest.fixture
def guest(start: Start) -> BareGuest:
    """A guest with about 60 MiB to spare."""
    guest = start(memory_bytes=96 * MIB)
    guest.setup()
    guest.run(PROBE)
    return guest


def explode(guest: BareGuest, bomb: str) -> str:
    """Run `bomb` in a function, so that what it took is let go of; whether it was caught."""
    body = bomb.replace("\n", "\n    ")
    guest.run(f"def explode():\n    {body}")
    return guest.value("caught = False\ntry: explode()\nexcept MemoryError: caught = True\ncaught")


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_memory_bomb_is_an_exception_and_work_goes_on(guest: BareGuest, bomb: str) -> None:
    guest.run("kept = list(range(1000))")
    before = int(guest.value("kilobytes_left()"))
    for _ in range(2):
        assert explode(guest, bomb) == "True"
        assert guest.run(WORK).error is None
    assert int(guest.value("kilobytes_left()")) >= 0.9 * before
    assert guest.value("len(bytearray(16 << 20))") == str(16 * MIB)
    assert guest.value("sum(kept)") == "499500"


@pytest.mark.slow
def test_all_bombs_in_one_session_many_times(guest: BareGuest) -> None:
    before = int(guest.value("kilobytes_left()"))
    for _ in range(10):
        for bomb in BOMBS:
            assert explode(guest, bomb) == "True", bomb
        assert guest.run(WORK).error is None
    assert guest.size <= 96 * MIB
    assert int(guest.value("kilobytes_left()")) >= 0.9 * before
    assert guest.value("len(bytearray(16 << 20))") == str(16 * MIB)


def test_the_report_itself_may_run_out_of_memory(guest: BareGuest) -> None:
    code = """
import _rlm_bootstrap
kept = []
def hoard(*_, **__):
    for size in (1 << 20, 1 << 16, 5000, 600, 100, 10, 1):
        try:
            while True: kept.append(bytes(size))
        except MemoryError:
            pass
    raise MemoryError
_rlm_bootstrap._as_json = hoard
1
"""
    ran = guest.run(code)
    assert (ran.status, ran.error) == (0, "MemoryError")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def f(n): return f(n + 1)\nf(0)", "RecursionError"),
        ("class A:\n    def __repr__(self): return repr(self)\nrepr(A())", "RecursionError"),
        (
            "class A:\n    def __getattr__(self, n): return getattr(self, n)\nA().x",
            "RecursionError",
        ),
        ("x = []\nfor _ in range(100_000): x = [x]\nrepr(x)", "RecursionError"),
        ("x = []\nfor _ in range(100_000): x = [x]\nx == x[0]", "RecursionError"),
        ("x = []\nfor _ in range(100_000): x = [x]\nx = None", None),
        ("x = ()\nfor _ in range(100_000): x = (x,)\nx = None", None),
        ("import json; json.loads('[' * 100_000)", "RecursionError"),
        ("import json; json.loads('{\"a\":' * 100_000)", "RecursionError"),
        (
            "x = {}\nfor _ in range(100_000): x = {'a': x}\n__import__('json').dumps(x)",
            "RecursionError",
        ),
        ("eval('(' * 100_000)", "MemoryError"),
        ("eval('[' * 80 + ']' * 80)", None),
        ("eval('-' * 100_000 + '1')", "MemoryError"),
        ("eval('1+' * 100_000 + '1')", "RecursionError"),
        ("eval('a' + '.b' * 100_000)", "RecursionError"),
        ("eval('f(' * 90 + ')' * 90)", "NameError"),
        ("import re; re.compile('(' * 10_000 + ')' * 10_000)", "RecursionError"),
        ("import re; re.compile('(?:' * 5000 + 'x' + ')*' * 5000)", "RecursionError"),
        ("import re; re.match('(a|b)*', 'ab' * 100_000).end()", None),
        ("import ast; ast.literal_eval('[' * 5000 + ']' * 5000)", "MemoryError"),
        (
            "import copy\nx = []\nfor _ in range(100_000): x = [x]\ncopy.deepcopy(x)",
            "RecursionError",
        ),
        (
            "import pickle\nx = []\nfor _ in range(100_000): x = [x]\npickle.dumps(x)",
            "RecursionError",
        ),
        # CPython forgets to set MemoryError when it has no room for a frame.
        (
            "import sys; sys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1)\nf(0)",
            "SystemError",
        ),
        (
            "import sys; sys.setrecursionlimit(10**6)\n"
            "def f(n): return list(map(f, [n + 1]))\nf(0)",
            "RecursionError",
        ),
        ("import functools\nf = int\nfor _ in range(100_000): f = functools.partial(f)\nf()", None),
        ("x = iter(())\nfor _ in range(100_000): x = map(str, x)\nlist(x)", None),
    ],
)
def test_deep_nesting_is_an_exception(guest: BareGuest, source: str, error: str | None) -> None:
    ran = guest.run(source)
    assert ran.error == error, ran.result["error"] and ran.result["error"]["traceback"]
    assert guest.run("x = None").error is None
    assert guest.run(WORK).error is None
