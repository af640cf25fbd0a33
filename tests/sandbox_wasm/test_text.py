"""Mapped text as a `str`, and what is made fast for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sandbox_wasm.bare import PAGE, BareGuest

Start = Callable[..., BareGuest]


def mapped(guest: BareGuest, text: str, kind: int, gap: int = 0) -> int:
    """Put `text` in `kind` bytes a character into fresh pages, as a host would; its address."""
    codec = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[kind]
    data = text.encode(codec, "surrogatepass")
    base = guest.grow(-(-(len(data) + gap) // PAGE) + 2)
    guest.write(base + PAGE + gap, data)
    return base + PAGE + gap


TEXTS = [
    ("plain ASCII, with a needle in it\n" * 50, 1, True),
    ("Übergrößen, naïve café\n" * 50, 1, False),
    ("кириллица и 中文\n" * 50, 2, False),
    ("emoji 😀 and 𝔘nicode\n" * 50, 4, False),
]


@pytest.mark.parametrize(("text", "kind", "ascii_"), TEXTS)
def test_a_mapped_text_is_a_str_like_any_other(
    bare: BareGuest, text: str, kind: int, ascii_: bool
) -> None:
    place = mapped(bare, text, kind)
    bare.run(f"import _rlm\nm = _rlm.text({place}, {len(text)}, {kind}, {ascii_})")
    bare.run(f"s = {text!r}")
    for claim in (
        "type(m) is str and m == s and s == m and not m != s",
        "hash(m) == hash(s) and {m: 1}[s] == 1 and {s: 1}[m] == 1",
        "m[3:40] == s[3:40] and m[::-1] == s[::-1] and m[-1] == s[-1]",
        "m.splitlines() == s.splitlines() and m.split() == s.split()",
        "m.upper() == s.upper() and m + 'x' == s + 'x' and m * 2 == s * 2",
        "m.encode() == s.encode() and list(m) == list(s) and repr(m) == repr(s)",
        "__import__('re').findall(r'\\w+', m) == __import__('re').findall(r'\\w+', s)",
        "__import__('json').dumps(m) == __import__('json').dumps(s)",
        "m.isascii() is s.isascii() and max(m) == max(s) and f'{m:>9}' == s",
        "__import__('sys').getrefcount(m) > 2**29",  # immortal: its page is not written to
        "__import__('sys').intern(m) == s",
    ):
        assert bare.value(claim) == "True", claim
    bare.run("del m, s; import gc; gc.collect()")
    read_back = bare.read(place, len(text) * kind)
    assert read_back.decode({1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[kind]) == text


def test_the_header_lies_in_the_room_before_the_text(bare: BareGuest) -> None:
    place = mapped(bare, "abc" * 10, 1)
    bare.write(place - 40, b"\xee" * 40)
    assert bare.value(f"import _rlm; _rlm.text({place}, 30, 1, False)") == repr("abc" * 10)
    assert bare.read(place - 40, 8) == b"\xee" * 8
    assert bare.read(place, 34) == b"abc" * 10 + b"\0\0\0\0"


def test_an_empty_text_is_the_empty_str(bare: BareGuest) -> None:
    assert bare.value("import _rlm; _rlm.text(0, 0, 1, True) is ''") == "True"


@pytest.mark.parametrize(
    ("ptr", "chars", "kind", "ascii_"),
    [
        ("place", 5, 3, False),  # no such kind
        ("place", 5, 2, True),  # ASCII is one byte a character
        ("place", 5, 1, False),  # no zero after it
        ("place + 1", 29, 1, True),  # its header would not be aligned
        ("0", 5, 1, True),
        ("16", 5, 1, True),
        ("2**32 - 64", 100, 1, True),
        ("place", 2**31 - 1, 4, False),
        ("place", 2**30 - 1, 4, False),  # its size does not fit 32 bits
        ("place", 2**32 - 1, 1, False),
    ],
)
def test_a_text_that_cannot_be_one_is_refused(
    bare: BareGuest, ptr: str, chars: int, kind: int, ascii_: bool
) -> None:
    place = mapped(bare, "abc" * 10, 1)
    ran = bare.run(f"import _rlm; place = {place}; _rlm.text({ptr}, {chars}, {kind}, {ascii_})")
    assert ran.error == "ValueError"


def test_setup_binds_one_text_or_several(start: Start) -> None:
    guest = start()
    place = mapped(guest, "first", 1)
    assert guest.setup(texts=[[place, 5, 1, True]], single=True, names=["a.txt"]) is None
    assert guest.value("(context, context_names)") == "('first', ['a.txt'])"
    guest = start()
    texts = [[mapped(guest, "first", 1), 5, 1, True], [mapped(guest, "вторая", 2), 6, 2, False]]
    assert guest.setup(texts=texts, single=False, names=["a", "b"], question="why?") is None
    assert guest.value("(context, question)") == "(['first', 'вторая'], 'why?')"


COUNTS = """
def agrees(text, wanted):
    return text.count(wanted) == sum(c == wanted for c in text)

alphabets = ['aa', 'яя', 'ab', 'aé', 'aя', 'яa', 'a😀', 'ÿā']
wrong = []
for alphabet in alphabets:
    for length in [*range(70), 255 * 16 - 1, 255 * 16 + 1, 70_000, 65535 * 8 + 9]:
        text = ''.join(alphabet[i * i % 7 % 2] for i in range(min(length, 7))) * (length // 7 + 1)
        text = text[:length]
        for wanted in {*alphabet, 'a', 'é', 'я', '😀', chr(0)}:
            if not agrees(text, wanted):
                wrong.append((alphabet, length, wanted))
wrong
"""


def test_counting_a_character_agrees_with_a_loop(bare: BareGuest) -> None:
    assert bare.value(COUNTS) == "[]"


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("'banana'.count('a')", 3),
        ("'banana'.count('an')", 2),
        ("'banana'.count('a', 2)", 2),
        ("'banana'.count('a', 2, 4)", 1),
        ("'banana'.count('a', None, -1)", 2),
        ("'banana'.count('')", 7),
        ("''.count('a')", 0),
        ("''.count('')", 1),
        ("str.count('banana', 'a')", 3),
        ("type('S', (str,), {})('banana').count(type('S', (str,), {})('a'))", 3),
        ("'banana'.count('я')", 0),
        ("'яблоко'.count('о')", 2),
        ("'ÿÿ'.count('\u01ff')", 0),  # its low byte is another character
    ],
)
def test_str_count_counts(bare: BareGuest, expression: str, count: int) -> None:
    assert bare.value(expression) == str(count)


@pytest.mark.parametrize(
    "call", ["'a'.count()", "'a'.count(1)", "'a'.count(b'a')", "str.count(1, 'a')"]
)
def test_str_count_refuses_what_cpython_refuses(bare: BareGuest, call: str) -> None:
    assert bare.run(call).error == "TypeError"


#: What `bytes` finds, which nothing was changed for, is right.
SEARCHES = """
import random
draw = random.Random(1)
wrong = []
for letters in ('ab', 'a', 'aé', 'abcdefgh ', 'the quick brown fox', '\\xff\\x00\\x80'):
    for length in [*range(0, 20), *range(240, 360, 7), 1000, 5000]:
        text = ''.join(draw.choices(letters, k=length))
        for size in (1, 2, 3, 5, 16, 17, 40, 300):
            start = draw.randrange(-5, length + 5)
            needle = text[start:start + size] if draw.random() < .5 else ''.join(
                draw.choices(letters, k=size))
            if needle and draw.random() < .3:
                at = draw.randrange(len(needle))
                needle = needle[:at] + draw.choice(letters) + needle[at + 1:]
            data, part = text.encode('latin-1'), needle.encode('latin-1')
            for bounds in ((), (start,), (start, start + 70), (-length // 2,), (1, -1)):
                found = data.find(part, *bounds)
                if text.find(needle, *bounds) != found:
                    wrong.append(('find', text, needle, bounds))
                try:
                    same = text.index(needle, *bounds) == found
                except ValueError as error:
                    same = found == -1 and str(error) == 'substring not found'
                if not same:
                    wrong.append(('index', text, needle, bounds))
            if (needle in text) != (part in data):
                wrong.append(('in', text, needle))
            if text.count(needle) != data.count(part):
                wrong.append(('count', text, needle))
wrong[:3]
"""


def test_searching_agrees_with_bytes(bare: BareGuest) -> None:
    assert bare.value(SEARCHES) == "[]"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("long.find('needle', None, None)", "300"),
        ("long.find('needle', 301)", "-1"),
        ("long.find('needle', 10**30)", "-1"),
        ("long.find('needle', -10**30)", "300"),
        ("long.find('needle', True)", "300"),
        ("long.find('')", "0"),
        ("long.find('nеedle')", "-1"),  # one letter is Cyrillic
        ("'needle' in (long + 'я')", "True"),
        ("(long + 'я').find('needle')", "300"),
        ("str.__contains__(long, 'needle')", "True"),
        ("S(long).find(S('needle')), S('needle') in S(long), type(S(long).lower())", None),
    ],
)
def test_searching_a_long_text(bare: BareGuest, expression: str, value: str | None) -> None:
    bare.run("long = 'x' * 300 + 'needle' + 'y' * 300\nS = type('S', (str,), {})")
    assert bare.value(expression) == (value or "(300, True, <class 'str'>)")


@pytest.mark.parametrize(
    "call", ["long.find()", "long.find(1)", "1 in long", "long.find('ab', 'c')", "long.lower(1)"]
)
def test_searching_refuses_what_cpython_refuses(bare: BareGuest, call: str) -> None:
    bare.run("long = 'x' * 300")
    assert bare.run(call).error == "TypeError"


def test_near_matches_everywhere_do_not_make_it_slow(bare: BareGuest) -> None:
    # A million places to begin at, and fifty thousand characters that match at each.
    bare.run("text = 'a' * 10**6; needle = 'a' * 50_000 + 'b' + 'a' * 50_000")
    assert bare.value("needle in text, text.find(needle), text.count(needle)") == "(False, -1, 0)"


def test_the_case_of_ascii_changes_as_letter_by_letter(bare: BareGuest) -> None:
    code = """
every = ''.join(map(chr, range(128)))
sizes = (0, 63, 64, 65, 79, 300)
texts = [(every * 4)[start:start + size] for size in sizes for start in range(128)]
ways = (str.lower, str.upper, str.casefold)
[text for text in texts for way in ways if way(text) != ''.join(map(way, text))]
"""
    assert bare.value(code) == "[]"
    assert bare.value("('É' * 80 + 'SS').lower() == 'é' * 80 + 'ss'") == "True"
    assert bare.value("('ß' * 80).upper() == 'SS' * 80") == "True"
