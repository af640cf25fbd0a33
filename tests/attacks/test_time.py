"""Code that does not end: interrupted if Python can be, stopped for good if not."""

from __future__ import annotations

import pytest

from tests.attacks.suite import ENDED, INTERRUPTED, STOPPED, Case, Forks, World, cases, withstand

LOOP = "while True: pass"

#: A KeyboardInterrupt gets through to these.
SOFT = [
    Case("an endless loop", LOOP, INTERRUPTED),
    Case("a huge power", "9**9**9", INTERRUPTED),
    Case("a catastrophic regex", "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')", INTERRUPTED),
    Case("a regex of alternatives", "import re; re.match(r'(a|aa)+$', 'a' * 60 + 'b')",
         INTERRUPTED),
    Case("a regex that looks back", r"import re; re.match(r'(\w*)*\1$', 'ab' * 30 + '!')",
         INTERRUPTED),
    Case("endless printing", "while True: print('x' * 1000)", INTERRUPTED),
    Case("a repr without end", f"class R:\n def __repr__(self):\n  {LOOP}\nR()", INTERRUPTED),
    Case("a str without end", f"class R:\n def __str__(self):\n  {LOOP}\nprint(R())", INTERRUPTED),
    Case("a generator without end", "','.join(str(i) for i in range(10**12))", INTERRUPTED),
    Case("hashing without end", f"class H:\n def __hash__(self):\n  {LOOP}\n{{H(): 1}}",
         INTERRUPTED),
    Case("a sort key without end", f"def key(x):\n {LOOP}\nsorted([2, 1], key=key)", INTERRUPTED),
    Case("sleeping for years", "import time\nwhile True: time.sleep(10**6)", INTERRUPTED),
    Case("an event loop without end",
         "import asyncio\nasync def f():\n while True: await asyncio.sleep(0)\n"
         "asyncio.new_event_loop().run_until_complete(f())", INTERRUPTED),
    Case("an exception that says itself without end",
         f"class E(Exception):\n def __str__(self):\n  {LOOP}\nraise E", ENDED),
    Case("an import hook without end",
         f"import sys\nclass F:\n def find_spec(self, *a):\n  {LOOP}\n"
         "sys.meta_path.insert(0, F())\ntry: import nosuchmodule\nfinally: del sys.meta_path[0]",
         INTERRUPTED),
    Case("catching the interrupt once", f"try:\n {LOOP}\nexcept KeyboardInterrupt: raise",
         INTERRUPTED),
]  # fmt: skip

#: These swallow it, or never look.
HARD = [
    Case("swallowing every interrupt",
         f"while True:\n try:\n  {LOOP}\n except BaseException: pass", STOPPED),
    Case("a finally without end", f"try:\n {LOOP}\nfinally:\n {LOOP}", STOPPED),
    Case("a with block that swallows",
         "class W:\n def __enter__(self): pass\n def __exit__(self, *a): return True\n"
         f"while True:\n with W():\n  {LOOP}", STOPPED),
    Case("a generator that resumes",
         f"def g():\n while True:\n  try:\n   {LOOP}\n  except BaseException: yield\n"
         "for _ in g(): pass", STOPPED),
    Case("ignoring the signal", f"import signal; signal.signal(2, signal.SIG_IGN)\n{LOOP}",
         STOPPED),
    Case("a handler without end",
         f"import signal\ndef h(*a):\n {LOOP}\nsignal.signal(2, h)\n{LOOP}", STOPPED),
    Case("a handler that raises the signal again",
         f"import signal\ndef h(*a): signal.raise_signal(2)\nsignal.signal(2, h)\n{LOOP}",
         ENDED),
    Case("an exit that is an interrupt's handler",
         f"import atexit\ntry:\n {LOOP}\nexcept BaseException as e:\n atexit.register(print)\n"
         f" {LOOP}", STOPPED),
    Case("a trace function without end",
         f"import sys\ndef t(*a):\n while True:\n  try:\n   {LOOP}\n  except BaseException: pass\n"
         "sys.settrace(t)\n(lambda: 0)()", STOPPED),
    Case("a destructor that swallows",
         f"class D:\n def __del__(self):\n  while True:\n   try:\n    {LOOP}\n"
         "   except BaseException: pass\nd = D(); del d", STOPPED),
    Case("a sum in C", "sum(range(10**13))", STOPPED),
    Case("a search in C", "import itertools; -1 in itertools.count()", STOPPED),
    Case("draining in C", "import itertools, collections\n"
         "collections.deque(itertools.repeat(0), maxlen=0)", STOPPED),
    Case("all of endlessly many", "import itertools; all(itertools.repeat(1))", STOPPED),
    Case("a fold in C", "import itertools, functools, operator\n"
         "functools.reduce(operator.and_, itertools.repeat(1))", STOPPED),
    Case("combinations without end", "import itertools\n"
         "max(itertools.permutations(range(12)))", STOPPED),
    Case("keys that all collide",
         "class K(int):\n __hash__ = lambda s: 1\n __eq__ = int.__eq__\n"
         "while True:\n try: {K(i) for i in range(10**6)}\n except BaseException: pass", STOPPED),
    Case("rows without end", "max(zip(*[range(10**13)] * 3))", STOPPED),
    Case("a factorial", "import math; math.factorial(5 * 10**6)", ENDED),
]  # fmt: skip


@cases(SOFT, HARD)
def test_time(fork: Forks, world: World, case: Case) -> None:
    withstand(fork, world, case)


@pytest.mark.parametrize("name", ["llm_query", "FINAL", "print", "grep", "SHOW_VARS"])
def test_patched_helpers_do_not_outlive_the_cell_s_time(fork: Forks, name: str) -> None:
    """The helpers come back, whoever replaced them."""
    guest = fork()
    ran = guest.run(
        f"def {name}(*a):\n while True:\n  try:\n   {LOOP}\n  except BaseException: pass\n{name}()",
        cell_seconds=0.2,
    )
    assert ran.restarted
    assert guest.value(f"'<cell' in getattr({name}, '__qualname__', '')") == "False"


def test_the_run_s_deadline_ends_a_cell_that_has_time_left(fork: Forks) -> None:
    ran = fork().run(LOOP, cell_seconds=1000, wall_seconds=0.2)
    assert ran.error is not None
    assert "the time of the whole run is over" in ran.error.message


def test_no_time_is_left_by_calling_the_host_in_a_loop(fork: Forks) -> None:
    """Time in the host does not count for the cell, but the run's deadline does."""
    ran = fork().run(
        "while True:\n try: llm_query('x')\n except BaseException: pass",
        cell_seconds=1000,
        wall_seconds=0.3,
    )
    assert ran.restarted
    assert ran.error is not None
    assert "the time of the whole run is over" in ran.error.message
