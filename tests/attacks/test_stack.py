"""Depth: recursion in Python's own code, in its parser, and in what is written in C."""

from __future__ import annotations

from tests.attacks.suite import HARMLESS, RESTARTED, Case, Forks, World, cases, raises, withstand

TOO_DEEP = raises("RecursionError")
#: Python frames live in the heap. CPython sets no exception where it has no room for one.
NO_FRAME = raises("RecursionError", "MemoryError", "SystemError")
NESTED = "t = []\nfor _ in range(10**5): t = [t]\n"

CASES = [
    Case("a function that calls itself", "def f(): return f()\nf()", TOO_DEEP),
    Case("two functions that call each other", "def f(): g()\ndef g(): f()\nf()", TOO_DEEP),
    Case("a method that finds itself",
         "class A:\n def __getattr__(self, n): return getattr(self, n)\nA().x", TOO_DEEP),
    Case("a property that asks itself",
         "class A:\n @property\n def x(self): return self.x\nA().x", TOO_DEEP),
    Case("an addition that adds itself",
         "class A:\n def __add__(self, o): return self + o\nA() + A()", TOO_DEEP),
    Case("a generator of itself", "def f(): yield from f()\nlist(f())", TOO_DEEP),
    Case("a key that maps itself", "f = lambda x: list(map(f, [x]))\nf(1)", TOO_DEEP),
    Case("a higher limit", "import sys; sys.setrecursionlimit(2**31 - 1)\n"
         "def f(): return f()\nf()", NO_FRAME),
    Case("a higher limit, and C in between", "import sys; sys.setrecursionlimit(2**31 - 1)\n"
         "f = lambda x: list(map(f, [x]))\nf(1)", HARMLESS),
    Case("nested parentheses", "eval('(' * 100_000)", raises("MemoryError")),
    Case("nested brackets", "eval('[' * 100_000 + ']' * 100_000)", raises("MemoryError")),
    Case("a long chain of operators", "eval('-' * 100_000 + '1')",
         raises("RecursionError", "MemoryError")),
    Case("a long sum", "eval('+'.join(['1'] * 10**5))", HARMLESS),
    Case("a long chain of attributes", "eval('a' + '.a' * 10**5)", HARMLESS),
    Case("nested functions", "exec('\\n'.join(' ' * n + 'def f():' for n in range(200)))",
         raises("IndentationError", "SyntaxError")),
    Case("nested f-strings", "eval('f\"{' * 200 + '1' + '}\"' * 200)", raises("SyntaxError",
         "MemoryError")),
    Case("a tree built by hand",
         "import ast\nn = ast.Constant(1)\nfor _ in range(10**4): n = ast.UnaryOp(ast.USub(), n)\n"
         "compile(ast.fix_missing_locations(ast.Expression(n)), 'x', 'eval')", TOO_DEEP),
    Case("nested json", "import json; json.loads('[' * 10**6)", TOO_DEEP),
    Case("nested json, written", f"import json\n{NESTED}json.dumps(t)", TOO_DEEP),
    Case("a nested regex", "import re; re.compile('(' * 10**5 + ')' * 10**5)", TOO_DEEP),
    Case("a nested repr", f"{NESTED}repr(t)", TOO_DEEP),
    Case("a nested value", f"{NESTED}t", HARMLESS),
    Case("nested lists compared", f"{NESTED}u = t\n{NESTED}t == u", TOO_DEEP),
    Case("a nested copy", f"import copy\n{NESTED}copy.deepcopy(t)", NO_FRAME),
    Case("a nested pickle", f"import pickle\n{NESTED}pickle.dumps(t)", TOO_DEEP),
    Case("nested marshal", f"import marshal\n{NESTED}marshal.dumps(t)", raises("ValueError")),
    Case("a nested hash", "t = ()\nfor _ in range(300_000): t = (t,)\nhash(t)", RESTARTED),
    Case("nested lists let go", f"{NESTED}del t", HARMLESS),
    Case("nested exceptions",
         "e = None\nfor n in range(10**4):\n x = ValueError(n); x.__cause__ = e; e = x\nraise e",
         raises("ValueError")),
    Case("nested exception groups",
         "e = ValueError()\nfor n in range(10**4): e = ExceptionGroup('x', [e])\nraise e",
         HARMLESS),
    Case("a type of 3,000 bases in a row",
         "t = object\nfor n in range(3000): t = type('T', (t,), {})\nt()", HARMLESS),
    Case("isinstance of nested tuples",
         "t = (int,)\nfor _ in range(10**5): t = (t,)\nisinstance('x', t)", TOO_DEEP),
    Case("unions of unions", "t = int | str\nfor _ in range(10**4): t = list[t]\nrepr(t)",
         TOO_DEEP),
    Case("a proxy of a proxy",
         "import types\nm = {}\nfor _ in range(10**5): m = types.MappingProxyType(m)\nlen(m)",
         HARMLESS),
    Case("partials of partials",
         "import functools\nf = print\n"
         "for _ in range(10**5): f = functools.partial(lambda g: g(), f)\n"
         "f()", HARMLESS),
    Case("an iterator of iterators",
         "import itertools\ni = iter([])\nfor _ in range(10**5): i = itertools.chain(i)\nnext(i)",
         HARMLESS),
    Case("deep without Python's own count",
         "import functools\nclass A:\n __slots__ = ('x',)\n"
         "a = None\nfor _ in range(10**5):\n b = A(); b.x = a; a = b\ndel a, b", HARMLESS),
]  # fmt: skip


@cases(CASES)
def test_stack(fork: Forks, world: World, case: Case) -> None:
    withstand(fork, world, case)
