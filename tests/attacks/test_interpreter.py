"""Games with the interpreter: imports, sys, gc, frames, builtins, types, hooks."""

from __future__ import annotations

from tests.attacks.suite import (
    ENDED,
    HARMLESS,
    RESTARTED,
    Case,
    Forks,
    World,
    cases,
    gives,
    raises,
    withstand,
)

NOT_THERE = raises("ModuleNotFoundError", "ImportError")

IMPORTS = [
    Case("ctypes", "import ctypes", NOT_THERE),
    Case("what is under ctypes", "import _ctypes", NOT_THERE),
    Case("a foreign function interface", "import cffi", NOT_THERE),
    Case("the test module of the C API", "import _testcapi, _testinternalcapi", NOT_THERE),
    Case("another interpreter", "import _interpreters; _interpreters.create()", HARMLESS),
    Case("a shared library",
         "import importlib.machinery as m\n"
         "m.ExtensionFileLoader('x', '/lib/libc.so.6').create_module(None)", HARMLESS),
    Case("a module from a path", "import sys; sys.path.append('/'); import etc", NOT_THERE),
    Case("a module from a zip", "import zipimport; zipimport.zipimporter('/tmp/x.zip')",
         raises("ZipImportError", "ModuleNotFoundError")),
    Case("frozen modules as files", "import importlib; importlib.import_module('..os', 'x.y')",
         raises("ModuleNotFoundError", "ImportError")),
    Case("another version of os", "import sys; del sys.modules['os']; import os; os.listdir('/')",
         raises("OSError", "FileNotFoundError")),
    Case("the posix module itself", "import posix; posix.open('/etc/passwd', 0)",
         raises("OSError", "FileNotFoundError")),
    Case("Python's own C files", "import _io; _io.FileIO('/etc/passwd')",
         raises("OSError", "FileNotFoundError")),
    Case("modules that are none", "import sys\nsys.modules['json'] = sys.modules['ast'] = None\n1",
         HARMLESS, poisons=True),
    Case("no modules", "import sys; sys.modules.clear()", HARMLESS, poisons=True),
]  # fmt: skip

HOOKS = [
    Case("no builtins", "import builtins; builtins.__dict__.clear()", RESTARTED),
    Case("builtins of one's own",
         "import builtins\nfor n in ('len', 'isinstance', 'exec', 'compile', 'eval', 'str'):\n"
         " setattr(builtins, n, lambda *a, **k: 1 / 0)", HARMLESS, poisons=True),
    Case("its own __build_class__", "__builtins__ = {}\n1", gives("1"), poisons=True),
    Case("a hook on every audit event",
         "import sys\ndef hook(*a): raise RuntimeError\nsys.addaudithook(hook)", HARMLESS,
         poisons=True),
    Case("tracing everything", "import sys\nsys.settrace(lambda *a: 1 / 0)", HARMLESS,
         poisons=True),
    Case("profiling everything", "import sys\nsys.setprofile(lambda *a: 1 / 0)", HARMLESS,
         poisons=True),
    Case("monitoring everything",
         "import sys\nm = sys.monitoring; m.use_tool_id(1, 'x')\n"
         "m.register_callback(1, m.events.CALL, lambda *a: 1 / 0)\n"
         "m.set_events(1, m.events.CALL)\nlen('x')", HARMLESS, poisons=True),
    Case("an excepthook that fails", "import sys; sys.excepthook = lambda *a: 1 / 0\n1 / 0",
         raises("ZeroDivisionError")),
    Case("a displayhook", "import sys; sys.displayhook = lambda *a: 1 / 0\n1", gives("1")),
    Case("a hook for what cannot be raised",
         "import sys\nsys.unraisablehook = lambda *a: 1 / 0\nclass D:\n"
         " def __del__(self): 1 / 0\nd = D(); del d\n1", gives("1")),
    Case("an import that recurses",
         "import builtins\nreal = builtins.__import__\n"
         "def imp(*a): return imp(*a)\nbuiltins.__import__ = imp\nimport json",
         raises("RecursionError"), poisons=True),
    Case("callbacks of the collector",
         "import gc\ngc.callbacks.append(lambda *a: 1 / 0)\ngc.collect()\n1", gives("1")),
    Case("the collector at every step", "import gc; gc.set_threshold(1)\n"
         "x = [[i] for i in range(1000)]\ngc.set_threshold(700)", HARMLESS),
    Case("the collector's objects undone",
         "import gc\nfor o in gc.get_objects():\n try: o.clear()\n except Exception: pass",
         HARMLESS, poisons=True),
    Case("the collector asked of everything",
         "import gc; gc.unfreeze(); len(gc.get_objects()) > 1000 and len(gc.get_referrers(len))",
         HARMLESS),
    Case("an exit function",
         "import atexit; atexit.register(lambda: 1 / 0); atexit._run_exitfuncs()",
         HARMLESS),
    Case("codecs of one's own",
         "import codecs\ncodecs.register(lambda n: 1 / 0)\n"
         "codecs.register_error('replace', lambda e: (1 / 0, 0))\n'\\ud800'.encode('utf-8', 'x')",
         HARMLESS),
    Case("the error handler that the bootstrap uses",
         "import codecs\ncodecs.register_error('replace', lambda e: ('x' * 10**9, -10**9))\n"
         "raise ValueError('\\ud800')", ENDED, poisons=True),
    Case("a json of one's own", "import json\njson.dumps = json.loads = lambda *a, **k: 1 / 0\n1",
         HARMLESS, poisons=True),
]  # fmt: skip

TYPES = [
    Case("frames of the bootstrap",
         "import sys\nf = sys._getframe()\nn = 0\n"
         "while f.f_back: f = f.f_back; n += 1; f.f_locals.clear() if n > 9 else None\nn",
         HARMLESS),
    Case("the session behind the frames",
         "import sys\ns = sys._getframe(2).f_locals['self']\ns.__dict__.clear()", HARMLESS,
         poisons=True),
    Case("a session whose texts are numbers",
         "import sys\ns = sys._getframe(2).f_locals['self']\n"
         "s.output_chars = -10**9; s.provided = None; s._partial = 7", HARMLESS, poisons=True),
    Case("the session made final", "FINAL.__self__._finished = True; FINAL('x')", HARMLESS,
         poisons=True),
    Case("a traceback that is a ring",
         "import sys\ntry: 1 / 0\nexcept Exception as e:\n t = e.__traceback__\n t.tb_next = t",
         raises("ValueError")),
    Case("an exception that causes itself", "e = ValueError(); e.__cause__ = e; raise e",
         raises("ValueError")),
    Case("contexts in a ring",
         "a, b = ValueError(1), ValueError(2)\na.__context__ = b; b.__context__ = a\nraise a",
         raises("ValueError")),
    Case("an exception without a name",
         "raise type('x' * 10**6, (Exception,), {'__module__': 5})", HARMLESS),
    Case("an exception of hostile parts",
         "class E(Exception):\n __str__ = __repr__ = lambda s: 5\n"
         " __traceback__ = property(lambda s: 1 / 0)\n"
         " __notes__ = property(lambda s: 1 / 0)\nraise E",
         HARMLESS),
    Case("a class that lies about itself",
         "class L(str):\n __class__ = int\n __len__ = lambda s: -5\n __iter__ = None\nL('x')",
         HARMLESS),
    Case("a metaclass that lies",
         "class M(type):\n __repr__ = lambda c: c\nclass A(metaclass=M): pass\nA",
         raises("TypeError")),
    Case("a value whose repr is an interrupt",
         "class R:\n def __repr__(self): raise KeyboardInterrupt\nR()",
         raises("KeyboardInterrupt")),
    Case("a value whose repr ends the program",
         "class R:\n def __repr__(self): raise SystemExit\nR()", raises("SystemExit")),
    Case("a value whose repr ends the run",
         "class R:\n def __repr__(self): FINAL('x')\nR()", HARMLESS),
    Case("a list that changes while it is shown",
         "l = []\nclass R:\n def __repr__(self): l.clear(); return 'r'\nl += [R(), R(), R()]\nl",
         HARMLESS),
    Case("a dict that grows while it is shown",
         "d = {}\nclass R:\n def __repr__(self): d[len(d)] = R(); return 'r'\nd[0] = R()\nd",
         HARMLESS),
    Case("a key that changes its hash",
         "class K:\n n = 0\n def __hash__(self): K.n += 1; return K.n\n"
         "d = {K(): 1 for _ in range(100)}; d.copy(), list(d)", HARMLESS),
    Case("a sort that changes its list",
         "l = list(range(100))\nl.sort(key=lambda x: l.clear() or l.append(x) or x)",
         raises("ValueError")),
    Case("a comparison that frees",
         "l = [0] * 10\nclass E:\n def __eq__(self, o): l.clear(); return False\n"
         "l[5] = E()\nl.index(E())", raises("ValueError")),
    Case("a buffer that moves", "b = bytearray(100); v = memoryview(b); b.extend(b'x')",
         raises("BufferError")),
    Case("a view of freed memory",
         "import io\nb = io.BytesIO(b'x' * 100); v = b.getbuffer(); b.close()",
         raises("BufferError")),
    Case("a weak reference that resurrects",
         "class D:\n def __del__(self): keep.append(self)\nkeep = []\nfor _ in range(1000): D()\n"
         "len(keep)", gives("1000")),
    Case("a name that is not a str", "globals()[5] = 6; globals()[('a',)] = 7; SHOW_VARS()",
         HARMLESS, poisons=True),
    Case("the globals cleared", "globals().clear()", HARMLESS, poisons=True),
    Case("a __main__ of one's own", "import sys; sys.modules['__main__'] = sys\n1", gives("1")),
    Case("an answer that is strange",
         "class D(dict):\n def get(self, *a): raise SystemExit\nanswer = D(ready=True)", HARMLESS,
         poisons=True),
]  # fmt: skip


@cases(IMPORTS, HOOKS, TYPES)
def test_interpreter(fork: Forks, world: World, case: Case) -> None:
    withstand(fork, world, case)
