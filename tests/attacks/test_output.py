"""Floods and disguises: what the host keeps of a cell is bounded, and a terminal is safe."""

from __future__ import annotations

import re
import sys

from rlm_local.records import Observation
from rlm_local.views import visible
from rlm_local.wasm.repl import MOST_PARTIAL_CHARS
from tests.attacks.suite import HARMLESS, INTERRUPTED, Case, Forks, World, cases, withstand

CHARS = 2000
FAIL = "class E(Exception): pass\n"

CASES = [
    Case("a line of ten megabytes", "print('x' * 10**7)", HARMLESS),
    Case("a million lines", "for i in range(10**6): print(i)", HARMLESS),
    Case("a flood of errors", "import sys\nwhile True: sys.stderr.write('x' * 10**5)", INTERRUPTED),
    Case("a flood past Python", "import os\nwhile True: os.write(1, b'x' * 10**5)", INTERRUPTED),
    Case("a flood of nothing", "while True: print(end='')", INTERRUPTED),
    Case("a flood of warnings",
         "import warnings; warnings.simplefilter('always')\n"
         "for i in range(2000): warnings.warn(str(i))", HARMLESS),
    Case("bytes that are no text", "import os; os.write(1, bytes(range(256)) * 10)", HARMLESS),
    Case("lone surrogates", "print('\\ud800' * 10**5)", HARMLESS),
    Case("characters of four bytes", "print('\\U0001f600' * 10**5)", HARMLESS),
    Case("zeros", "print('\\0' * 10**5)", HARMLESS),
    Case("a value of ten megabytes", "'x' * 10**7", HARMLESS),
    Case("a list of a million", "list(range(10**6))", HARMLESS),
    Case("a repr of ten megabytes", "class R:\n def __repr__(s): return 'x' * 10**7\nR()",
         HARMLESS),
    Case("a message of ten megabytes", f"{FAIL}raise E('x' * 10**7)", HARMLESS),
    Case("a type's name of ten megabytes", "raise type('x' * 10**7, (Exception,), {})", HARMLESS),
    Case("a file's name of ten megabytes",
         "exec(compile('1 / 0', 'x' * 10**7, 'exec'))", HARMLESS),
    Case("a line of source of ten megabytes", "x = '" + "y" * 10**6 + "'; 1 / 0", HARMLESS),
    Case("a thousand notes",
         f"{FAIL}e = E()\nfor i in range(10**4): e.add_note('x' * 1000)\nraise e",
         HARMLESS),
    Case("a traceback of a thousand frames",
         "def f(n): return f(n - 1) if n else 1 / 0\nf(900)", HARMLESS),
    Case("a partial answer of ten megabytes", "answer['content'] = 'x' * 10**7", HARMLESS),
    Case("a closed stdout", "import sys; sys.stdout.close(); print('x')", HARMLESS),
    Case("no stdout", "import sys; sys.stdout = None; print('x')", HARMLESS),
    Case("a stdout of one's own",
         "import sys\nclass S:\n def write(s, t): 1 / 0\n flush = write\n"
         "sys.stdout = sys.stderr = S()\n"
         "print('x')", HARMLESS),
    Case("a stdout that prints",
         "import sys\nclass S:\n def write(s, t): print(t)\nsys.stdout = S()\n"
         "print('x')", HARMLESS),
    Case("streams of Python's own",
         "import sys; print('x' * 10**6, file=sys.__stderr__)", HARMLESS),
]  # fmt: skip


def check_bounded(ran: Observation) -> None:
    assert len(ran.stdout) <= CHARS
    assert len(ran.stderr) <= CHARS
    assert len(ran.value or "") <= 2 * CHARS + 1000
    assert len(ran.partial or "") <= MOST_PARTIAL_CHARS
    if ran.error is not None:
        for part in (ran.error.type, ran.error.message, ran.error.traceback):
            assert len(part) <= 2 * CHARS + 2000


@cases(CASES)
def test_output(fork: Forks, world: World, case: Case) -> None:
    check_bounded(withstand(fork, world, case))


def test_a_report_of_one_s_own_is_cut(fork: Forks) -> None:
    """The bootstrap cuts what it reports; a cell that replaces it is cut by the host."""
    guest = fork()
    guest.run(
        "import _rlm_bootstrap as b\nreal = b.json\nlong = 'x' * 3_000_000\n"
        "class J:\n loads = real.loads\n @staticmethod\n def dumps(*a, **k):\n"
        "  error = {'type': long, 'message': long, 'traceback': long}\n"
        "  return real.dumps({'value': long, 'error': error, 'partial': long})\nb.json = J"
    )
    check_bounded(guest.run("1"))


ESCAPES = {
    "colour": "\x1b[31mred\x1b[0m",
    "a title": "\x1b]0;pwned\x07",
    "the clipboard": "\x1b]52;c;cm0gLXJmIC8K\x07",
    "a link": "\x1b]8;;http://example.com\x07click\x1b]8;;\x07",
    "a cursor that goes back": "safe\x1b[2K\x1b[1Gforged",
    "a carriage return": "safe\rforged",
    "backspaces": "safe\b\b\b\bforged",
    "an eight-bit sequence": "\x9b31m",
    "text that runs backwards": "\u202etxt.exe\u202c",
    "text that is not seen": "a\u200bb\u2066c\u2069",
}


def test_an_answer_with_escapes_is_harmless_on_a_terminal(fork: Forks) -> None:
    """They reach the host as they are, and no terminal: what shows them makes them visible."""
    for name, text in ESCAPES.items():
        guest = fork()
        guest.run(f"print({text!r}, end=''); FINAL({text!r})")
        assert guest.calls == [("final", [text])], name
        shown = visible(text)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown), (
            name
        )


def test_what_a_guest_prints_never_reaches_our_own_streams(fork: Forks, capfd: object) -> None:
    guest = fork()
    guest.run("import os, sys\nprint('leak'); os.write(2, b'leak'); sys.stderr.write('leak')")
    sys.stdout.flush()
    out, err = capfd.readouterr()  # type: ignore[attr-defined]
    assert "leak" not in out + err
