"""Numbers, formats and parsers: small inputs that cost much, and malformed ones."""

from __future__ import annotations

from tests.attacks.suite import ENDED, HARMLESS, Case, Forks, World, cases, gives, raises, withstand

CASES = [
    Case("a format of a billion digits", "'%0999999999d' % 1", raises("MemoryError")),
    Case("a width out of range", "'{:99999999999}'.format(1)", raises("ValueError")),
    Case("a width that just fits", "'{:2147483647}'.format(1)", raises("MemoryError")),
    Case("a precision of two billion", "'%.2147483647f' % 1.5",
         raises("ValueError", "OverflowError", "MemoryError")),
    Case("a format that reaches globals",
         "class A: pass\n'API' in '{0.__init__.__globals__}'.format(print)",
         raises("AttributeError")),
    Case("digits to a number", "int('9' * 10**6)", raises("ValueError")),
    Case("a number to digits", "str(1 << 10**6)", raises("ValueError")),
    Case("digits without their limit",
         "import sys; sys.set_int_max_str_digits(0)\nstr(1 << 10**8)", ENDED),
    Case("a large shift", "1 << 10**11", raises("MemoryError", "OverflowError")),
    Case("a modular power", "pow(3, 10**6, 10**200_000)", ENDED),
    Case("fractions that grow",
         "from fractions import Fraction as F\nx = F(1, 3)\nwhile True: x = x * x + F(1, 7)",
         ENDED),
    Case("a decimal of many digits",
         "import decimal; decimal.getcontext().prec = 10**7\ndecimal.Decimal(2).sqrt()", ENDED),
    Case("a decimal beyond memory",
         "import decimal; decimal.getcontext().prec = decimal.MAX_PREC\ndecimal.Decimal(1) / 3",
         raises("MemoryError")),
    Case("entities that multiply",
         "import xml.etree.ElementTree as E\n"
         "d = ''.join(f'<!ENTITY a{n} \"' + f'&a{n - 1};' * 10 + '\">' for n in range(1, 12))\n"
         "E.fromstring(f'<!DOCTYPE x [<!ENTITY a0 \"ha\">{d}]><x>&a11;</x>')",
         raises("ParseError")),
    Case("an entity that is a file",
         "import xml.etree.ElementTree as E\n"
         "E.fromstring('<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><x>&a;</x>').text",
         raises("ParseError")),
    Case("a pickle that calls a function",
         "import pickle; pickle.loads(b'cos\\nsystem\\n(S\"id\"\\ntR.')",
         raises("AttributeError", "OSError")),
    Case("a pickle that wants much",
         "import pickle; pickle.loads(b'\\x8e' + b'\\xff' * 7 + b'\\x7f')",
         raises("UnpicklingError", "OverflowError", "MemoryError")),
    Case("a pickle with a far memo", "import pickle; pickle.loads(b'Nr\\xff\\xff\\xff\\x7f.')",
         raises("MemoryError", "UnpicklingError", "OverflowError")),
    Case("marshalled noise",
         "import marshal, random\nr = random.Random(1)\nfor _ in range(3000):\n"
         " try: marshal.loads(bytes([r.choice(b'[({<>zs')]) + r.randbytes(20))\n"
         " except Exception: pass", HARMLESS),
    Case("a long name for a file", "open('x' * 10**6)", raises("OSError", "FileNotFoundError")),
    Case("source with a zero", "exec('x = 1\\0')", raises("SyntaxError")),
    Case("source of surrogates", "exec('\\ud800')", raises("UnicodeEncodeError")),
    Case("source in a strange coding", "exec(b'# coding: utf-7\\n+AHg-')", HARMLESS),
    Case("a date far away", "import datetime; datetime.datetime.fromtimestamp(10**18)",
         raises("OverflowError", "ValueError", "OSError")),
    Case("a csv field without end",
         "import csv; next(csv.reader(['\"' + 'x' * 10**6]))", raises("Error")),
    Case("an array of a wild type", "import array; array.array('d', bytes(7))",
         raises("ValueError")),
    Case("a struct at a wild offset",
         "import struct; struct.unpack_from('4s', bytes(8), 2**31 - 1)", raises("error")),
    Case("a view that is cast",
         "memoryview(bytes(8)).cast('B', shape=[2**16, 2**16])", raises("TypeError", "ValueError")),
    Case("a slice beyond all", "context[-2**70:2**70:2**69]", gives("'t'")),
]  # fmt: skip


@cases(CASES)
def test_text(fork: Forks, world: World, case: Case) -> None:
    withstand(fork, world, case)
