"""Code objects with forged bytecode: CPython does not check it, so it does anything.

Anything, that is, to the guest's own memory. What comes of it there is no promise.
"""

from __future__ import annotations

import pytest

from tests.attacks.forge import MEMORY
from tests.attacks.suite import HARMLESS, Case, Forks, World, cases, gives, withstand

FUNCTION = "def f(a=1, *b): x = a; return (x, b)\nc = f.__code__\n"

CASES = [
    Case("no code", f"{FUNCTION}f.__code__ = c.replace(co_code=b'')\nf()", HARMLESS),
    Case("code without a return", f"{FUNCTION}f.__code__ = c.replace(co_code=c.co_code[:4])\nf()",
         HARMLESS),
    Case("no stack", f"{FUNCTION}f.__code__ = c.replace(co_stacksize=0)\nf()", HARMLESS),
    Case("a vast stack", f"{FUNCTION}f.__code__ = c.replace(co_stacksize=2**30)\nf()", HARMLESS),
    Case("constants that are not there", f"{FUNCTION}f.__code__ = c.replace(co_consts=())\nf()",
         HARMLESS),
    Case("names that are not there",
         "def f(): return len(context)\nf.__code__ = f.__code__.replace(co_names=())\nf()",
         HARMLESS),
    Case("an exception table of noise",
         f"{FUNCTION}f.__code__ = c.replace(co_exceptiontable=b'\\xff' * 50)\nf()", HARMLESS),
    Case("a handler outside of the code",
         "def f():\n try: 1 / 0\n except ValueError: pass\n"
         "f.__code__ = f.__code__.replace(co_exceptiontable=bytes([128, 127, 63, 63]))\nf()",
         HARMLESS),
    Case("lines of noise",
         "def f(): 1 / 0\nf.__code__ = f.__code__.replace(co_linetable=b'\\xff\\x7f' * 50)\nf()",
         HARMLESS),
    Case("lines at the end of numbers",
         "def f(): 1 / 0\nf.__code__ = f.__code__.replace(co_firstlineno=2**31 - 1)\nf()",
         HARMLESS),
    Case("a jump out of the code",
         f"import opcode\n{FUNCTION}j = bytes([opcode.opmap['JUMP_FORWARD'], 255])\n"
         "f.__code__ = c.replace(co_code=j * 20)\nf()", HARMLESS),
    Case("a jump back without end",
         f"import opcode\n{FUNCTION}o = opcode.opmap\n"
         "f.__code__ = c.replace(co_code=bytes([o['RESUME'], 0, o['NOP'], 0,"
         " o['JUMP_BACKWARD_NO_INTERRUPT'], 2]))\nf()", HARMLESS),
    Case("pops from an empty stack",
         f"import opcode\n{FUNCTION}\n"
         "f.__code__ = c.replace(co_code=bytes([opcode.opmap['POP_TOP'], 0]) * 2000)\nf()",
         HARMLESS),
    Case("locals beyond the frame",
         f"import opcode\n{FUNCTION}o = opcode.opmap\n"
         "f.__code__ = c.replace(co_code=bytes([o['EXTENDED_ARG'], 255, o['LOAD_FAST'], 255,"
         " o['RETURN_VALUE'], 0]))\nf()", HARMLESS),
    Case("arguments that are not counted",
         "def f(): return 1\nf.__code__ = f.__code__.replace(co_argcount=5, co_nlocals=5,"
         " co_varnames=tuple('abcde'))\nf()", HARMLESS),
    Case("a forged object", f"{MEMORY}\nlen(memory)", gives("2147483647")),
    Case("an object at nowhere", f"{MEMORY}\n_object_at(0xFFFFFFF0)", HARMLESS),
    Case("an object whose type is nothing",
         f"{MEMORY}\nx = _struct.pack('<8I', 1 << 30, 0, 0, 0, 0, 0, 0, 0)\n"
         "s = _struct.pack('<I', id(x) + 16)\n_object_at(id(s) + 16)", HARMLESS),
    Case("an object whose type is a text",
         f"{MEMORY}\nx = _struct.pack('<8I', 1 << 30, id('abc'), 9, 9, 9, 9, 9, 9)\n"
         "s = _struct.pack('<I', id(x) + 16)\n_object_at(id(s) + 16).x()", HARMLESS),
]  # fmt: skip


@cases(CASES)
def test_code_objects(fork: Forks, world: World, case: Case) -> None:
    withstand(fork, world, case)


NOISE = """
import random, types
def f(a=1, *b): x = a; return [x, b, len]
def g():
    try: yield f()
    finally: pass
chance = random.Random({seed})
for _ in range({times}):
    for function in (f, g):
        code = bytearray(function.__code__.co_code)
        for _ in range(chance.randint(1, 4)):
            code[chance.randrange(len(code))] = chance.randrange(256)
        made = types.FunctionType(function.__code__.replace(co_code=bytes(code)), globals())
        try: list(made())
        except Exception: pass
"""


@pytest.mark.parametrize("seed", range(8))
def test_noise_in_bytecode(fork: Forks, world: World, seed: int) -> None:
    withstand(fork, world, Case("noise", NOISE.format(seed=seed, times=50), HARMLESS, poisons=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 300))
def test_much_noise_in_bytecode(fork: Forks, world: World, seed: int) -> None:
    withstand(
        fork, world, Case("noise", NOISE.format(seed=seed, times=500), HARMLESS, poisons=True)
    )
