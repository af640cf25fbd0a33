"""Bombs that want more memory than there is: the guest gets a MemoryError, the host nothing."""

from __future__ import annotations

from tests.attacks.suite import RESTARTED, USED_UP, Case, Forks, World, cases, raises, withstand

NO_MEMORY = raises("MemoryError")
TOO_LARGE = raises("MemoryError", "OverflowError")

CASES = [
    Case("a string of ten gigabytes", "'x' * 10**10", TOO_LARGE),
    Case("the longest string there can be", "'x' * (2**31 - 1)", NO_MEMORY),
    Case("a string that doubles", "s = 'x'\nwhile True: s += s", NO_MEMORY),
    Case("the largest bytearray", "bytearray(2**31 - 1)", NO_MEMORY),
    Case("a list of a billion", "[0] * 10**9", TOO_LARGE),
    Case("all numbers in a list", "list(range(10**9))", NO_MEMORY),
    Case("strings in a list", "l = []\nwhile True: l.append(bytes(10**6))", NO_MEMORY),
    Case("tiny objects", "l = []\nwhile True: l.append([])", USED_UP),
    Case("a dict that grows", "d = {}\nwhile True: d[len(d)] = 1.5 * len(d)", USED_UP),
    Case("a set that grows", "s = set()\nwhile True: s.add((len(s),))", USED_UP),
    Case(
        "cycles without a collector",
        "import gc; gc.disable()\nwhile True:\n"
        "    b = bytes(10**6); c = [b]; c.append(c)\nwhile True: pass",
        NO_MEMORY,
    ),
    Case(
        "attributes without end",
        "class A: pass\na = A()\nn = 0\n"
        "while True: n += 1; setattr(a, f'name{n}', 'x' * 1000 + str(n))",
        NO_MEMORY,
    ),
    Case(
        "a chain of closures",
        "def wrap(f): return lambda: f\ng = None\nwhile True: g = wrap((g, bytes(1000)))",
        NO_MEMORY,
    ),
    Case("padding", "'x'.ljust(2**31 - 1)", NO_MEMORY),
    Case("tabs that expand", r"('\t' * 10**6).expandtabs(10**5)", TOO_LARGE),
    Case("replacing nothing by much", "('y' * 10**6).replace('', 'x' * 10**6)", TOO_LARGE),
    Case("a regex that writes much", "import re; re.sub('', 'x' * 10**6, 'y' * 10**4)", TOO_LARGE),
    Case("a join that is too long", "('x' * 10**6).join(['y'] * 10**5)", TOO_LARGE),
    Case("a struct of two gigabytes", "import struct; struct.pack('2147483647x')", TOO_LARGE),
    Case("random bytes", "import random; random.randbytes(2**31 - 1)", TOO_LARGE),
    Case("a text in memory", "import io; s = io.StringIO()\nwhile True: s.write('x' * 10**6)",
         NO_MEMORY),
    Case("a list that doubles", "l = [0]\nwhile True: l += l", NO_MEMORY),
    Case("memory held out of reach", "import math\nmath.bomb = []\n"
         "while True: math.bomb.append(bytes(10**5))", RESTARTED),
]  # fmt: skip


@cases(CASES)
def test_memory(fork: Forks, world: World, case: Case) -> None:
    withstand(fork, world, case)


def test_memory_that_is_held_is_won_back(fork: Forks) -> None:
    guest = fork()
    guest.run("small = [1, 2, 3]; rows = []")
    ran = guest.run("while True: rows.append('x' * 1000 + str(len(rows)))")
    assert ran.error is not None
    assert ran.error.message == "out of memory; to go on, these variables were deleted: rows"
    assert not ran.restarted
    assert guest.value("small, 'rows' in globals()") == "([1, 2, 3], False)"
    assert guest.value("len('x' * 10**7)") == "10000000"


def test_what_the_failed_cell_made_goes_first(fork: Forks) -> None:
    guest = fork()
    guest.run("old = list(range(10**6))")
    ran = guest.run("new = 'n' * 10**6\nbomb = []\nwhile True: bomb.append(bytes(10**5))")
    assert ran.error is not None
    assert "deleted: new, bomb" in ran.error.message
    assert guest.value("len(old)") == "1000000"


def test_the_memory_limit_is_the_one_asked_for(fork: Forks) -> None:
    small, large = fork(memory_bytes=96 << 20), fork(memory_bytes=400 << 20)
    code = "len(bytes(150 << 20))"
    refused = small.run(code).error
    assert refused is not None
    assert refused.type == "MemoryError"
    assert large.value(code) == str(150 << 20)


def test_eight_bombs_at_once_share_no_memory(fork: Forks) -> None:
    guests = [fork() for _ in range(8)]
    for guest in guests:
        assert guest.run("bomb = []\nwhile True: bomb.append(bytes(10**6))").error is not None
    assert [guest.value("6 * 7") for guest in guests] == ["42"] * 8
