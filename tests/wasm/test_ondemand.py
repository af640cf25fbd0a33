"""A context that is larger than the guest's memory: its documents are mapped on demand.

The window is made small here; `test_beyond_four_gigabytes` crosses the real limit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rlm_local.errors import SandboxError
from rlm_local.part import Part
from rlm_local.prompt import Document, Prompt, Region, open_prompt, prompt_from_texts
from rlm_local.sandbox import GuestText, PartOfContext, WholeContext
from rlm_local.wasm import mapping, ondemand
from rlm_local.wasm.checkpoint import SMALL_BYTES
from rlm_local.wasm.ondemand import LEAST_WINDOW_BYTES, OnDemand
from tests.wasm.conftest import Fork, Guest
from tests.wasm.test_checkpoint import memory_of

MIB = 1 << 20
#: The snapshot, the least window, and some room to work in.
SMALL_SPACE = 160 * MIB
HEAP_BYTES = 128 * MIB

#: By kind, of different lengths, with each number at the beginning and at the end.
_FILLERS = ("the quick brown fox ", "süße Äpfel, ", "日本語の文書、", "🦊 and 🐕 ")
#: One has a file of its own, one is mapped out of a file of many, the others are copied.
_CHARS = (4_300_000, 3000, 400_000, 30)


def text_of(number: int) -> str:
    """They are in all kinds of storage, and of all sizes in each."""
    filler = _FILLERS[number // 4 % 4]
    chars = _CHARS[number % 4] + 1000 * number
    head, tail = f"<{number}>", f"</{number}>"
    return head + (filler * (chars // len(filler) + 1))[:chars] + tail


TEXTS = [text_of(number) for number in range(100)]
NAMES = [f"{number}.txt" for number in range(100)]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prompt]:
    """The texts, some 200 MB, spooled."""
    named = dict(zip(NAMES, TEXTS, strict=True))
    with prompt_from_texts(named, folder=tmp_path_factory.mktemp("spool")) as prompt:
        yield prompt


@pytest.fixture
def small_space(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mapping, ondemand):
        monkeypatch.setattr(module, "ADDRESS_SPACE", SMALL_SPACE)


Start = Callable[..., Guest]


@pytest.fixture
def start(fork: Fork, large: Prompt, small_space: None) -> Start:
    def start(prompt: Prompt = large, **options: object) -> Guest:
        guest = fork(prompt=prompt, memory_bytes=HEAP_BYTES, **options)
        guest.value(_CHECK)
        return guest

    return start


#: Binds `right`: whether a text is the one of that number, first to last character.
_CHECK = """
def right(number, text):
    head, tail = f'<{number}>', f'</{number}>'
    return text.startswith(head) and text.endswith(tail) and text.count('<') == 2
None
"""


def mapped(guest: Guest) -> OnDemand:
    found = guest.repl._mapping
    assert isinstance(found, OnDemand)
    return found


def pieces(guest: Guest) -> list[tuple[int, int]]:
    """What is mapped, as addresses and lengths; no two share a byte."""
    found = sorted((piece.address, piece.length) for piece in mapped(guest).pieces)
    for (address, length), (following, _) in itertools.pairwise(found):
        assert address + length <= following
    return found


def read(guest: Guest, address: int, length: int) -> bytes:
    instance = guest.repl._instance
    assert instance is not None
    return instance.memory.read(address, length)


def test_a_copy_of_it_is_no_other_window(start: Start) -> None:
    guest = start()
    guest.value(
        "import copy, pickle\n"
        "kept = [context[0], context[4]]\n"
        "other = copy.deepcopy(context)\n"
        "kept += [other[8], context[12]]"
    )
    assert guest.value("all(right(4 * n, text) for n, text in enumerate(kept))") == "True"
    assert guest.run("pickle.dumps(context)").error.type == "TypeError"  # type: ignore[union-attr]
    pieces(guest)


def test_it_is_only_for_what_does_not_fit(fork: Fork, large: Prompt, start: Start) -> None:
    assert start().value("type(context).__name__") == "'Documents'"
    with pytest.MonkeyPatch.context() as patch:
        for module in (mapping, ondemand):
            patch.setattr(module, "ADDRESS_SPACE", 1 << 32)
        assert fork(prompt=large).value("type(context), context_names[:2]") == (
            "(<class 'list'>, ['0.txt', '1.txt'])"
        )


def test_it_is_like_a_list(start: Start) -> None:
    guest = start()
    lengths = [len(text) for text in TEXTS]
    for code, value in {
        "len(context), len(context_names), bool(context)": (100, 100, True),
        "{type(text) for text in context}": {str},
        "[len(text) for text in context]": lengths,
        "all(right(*pair) for pair in enumerate(context))": True,
        "all(right(99 - n, text) for n, text in enumerate(reversed(context)))": True,
        "[n for n, (a, b) in enumerate(zip(context, context[1:])) if len(a) > len(b)]": [
            n for n in range(99) if lengths[n] > lengths[n + 1]
        ],
        "right(99, context[-1]), right(0, context[-100])": (True, True),
        "[len(text) for text in context[90:10:-20]]": lengths[90:10:-20],
        "len(context[5:]), len(context[5:][:7]), len(context[200:])": (95, 7, 0),
        "[text for text in context[3:3]]": [],
        "context[17] in context, 'nowhere' in context": (True, False),
        "context.index(context[41]), context[:9].count(context[7])": (41, 1),
        "context_names[3], context_names[-1], context_names.index('77.txt')": (
            "3.txt",
            "99.txt",
            77,
        ),
        "list(context_names)": NAMES,
        "list(context_names[10:12])": NAMES[10:12],
        "[[a, *b] for a, b in [(context[1], context[2:4])]][0][2] == context[3]": True,
        "import collections.abc as c; isinstance(context, c.Sequence), isinstance(context, list)": (
            True,
            False,
        ),
        "sum(text.count('🦊') for text in context)": sum(t.count("🦊") for t in TEXTS),
        "max(range(100), key=lambda n: len(context[n]))": max(range(100), key=lambda n: lengths[n]),
    }.items():
        assert guest.value(code) == repr(value), code


def test_an_index_beyond_the_end_is_an_ordinary_error(start: Start) -> None:
    for code in ("context[100]", "context[-101]", "context[:5][5]", "context_names[100]"):
        error = start().run(code).error
        assert error is not None
        assert error.type == "IndexError"
        assert error.message.startswith("there are ")
    error = start().run("context['5.txt']").error
    assert error is not None
    assert error.type == "TypeError"


def test_its_repr_is_short_and_maps_nothing(start: Start) -> None:
    guest = start()
    assert guest.value("context") == (
        f"<100 documents, mapped on demand: '0.txt' ({len(TEXTS[0]):,} characters), "
        f"'1.txt' ({len(TEXTS[1]):,} characters), '2.txt' ({len(TEXTS[2]):,} characters), "
        f"'3.txt' ({len(TEXTS[3]):,} characters), ... 96 more>"
    )
    assert guest.value("context[:0]") == "<0 documents, mapped on demand: none>"
    assert guest.value("context_names[98:]") == "<2 names: '98.txt', '99.txt'>"
    assert guest.run("print(context)").stdout.startswith("<100 documents")
    assert pieces(guest) == []


def test_going_through_all_of_them_needs_a_window_only(start: Start) -> None:
    guest = start()
    before = guest.value("import sys; sum(right(n, t) for n, t in enumerate(context))")
    assert before == "100"
    taken = sum(length for _, length in pieces(guest))
    assert taken <= LEAST_WINDOW_BYTES
    size = guest.repl._instance.memory.size  # type: ignore[union-attr]
    for _ in range(5):
        assert guest.value("sum(right(n, t) for n, t in enumerate(context))") == "100"
    assert guest.repl._instance.memory.size == size  # type: ignore[union-attr]
    assert sum(length for _, length in pieces(guest)) <= LEAST_WINDOW_BYTES


@pytest.mark.parametrize(
    ("hold", "still"),
    [
        ("kept = context[0]", "right(0, kept)"),
        ("import re; kept = re.search('<0>', context[0])", "right(0, kept.string)"),
        ("kept = iter(context[0])", "''.join(kept).endswith('</0>')"),
        ("kept = {context[0]: 1}", "kept[context[0]] == 1 and right(0, [*kept][0])"),
        ("kept = (lambda text: lambda: text)(context[0])", "right(0, kept())"),
        ("kept = chunks(context[0], 1000)", "kept[0].startswith('<0>') and '</0>' in kept[-1]"),
        ("kept = context[0].split('quick')[-1]", "kept.endswith('</0>')"),
        ("class Box: pass\nkept = Box(); kept.me, kept.text = kept, context[0]",
         "right(0, kept.text)"),
    ],
)  # fmt: skip
def test_what_the_code_refers_to_stays(start: Start, hold: str, still: str) -> None:
    guest = start()
    guest.value(f"{hold}\nNone")
    for _ in range(2):
        assert guest.value("sum(right(n, t) for n, t in enumerate(context))") == "100"
    assert guest.value(still) == "True"


def test_an_interned_document_stays(start: Start) -> None:
    guest = start()  # the table of interned strings does not count as a reference
    guest.value("import sys; sys.intern(context[0]); None")
    (interned,) = mapped(guest).pieces
    assert guest.value("sum(right(n, t) for n, t in enumerate(context))") == "100"
    assert interned in mapped(guest).pieces


def test_a_window_full_of_what_the_code_refers_to(start: Start) -> None:
    guest = start()
    error = guest.run("held = []\nfor text in context[::4]: held.append(text)").error
    assert error is not None
    assert error.type == "MemoryError"
    assert "are taken by documents that variables refer to: delete those" in error.message
    # Nothing is lost, short documents still go, and after a del the rest does.
    assert guest.value("5 < len(held) < 25") == "True"
    assert guest.value("all(right(4 * n, text) for n, text in enumerate(held))") == "True"
    assert guest.value("[right(n, context[n]) for n in (1, 50, 99)]") == "[True, True, True]"
    assert guest.value("del held, text; right(96, context[96])") == "True"
    # A cycle that holds one is collected when there is need.
    guest.value("for n in range(0, 100, 4): box = []; box += [box, context[n]]\nNone")
    assert guest.value("sum(right(n, t) for n, t in enumerate(context))") == "100"


def test_one_document_is_one_str_while_it_is_mapped(start: Start) -> None:
    guest = start()
    assert guest.value("context[4] is context[4], context[4] is context[:9][4]") == "(True, True)"
    assert guest.value("hash(context[4]) == hash(context[4][:1] + context[4][1:])") == "True"


def test_the_utf8_that_c_code_has_made_goes_with_its_document(start: Start) -> None:
    guest = start()
    # fromisoformat() asks for it; if it stayed, it would fill the memory.
    code = (
        "import datetime\n"
        "for n in [*range(4, 100, 16)] * 8:\n"
        "    for text in context[n - 4 :: 4]: pass\n"
        "    try: datetime.date.fromisoformat(context[n])\n"
        "    except ValueError: pass\n"
    )
    assert guest.run(code, cell_seconds=60).error is None


def test_interrupts_at_any_moment_do_no_harm(start: Start) -> None:
    guest = start()
    guest.value("held = [context[0], context[40]]; None")
    for number in range(40):
        ran = guest.run(
            "n = 0\nwhile True:\n    n = (n * 7 + 4) % 100\n    assert right(n, context[n])\n",
            cell_seconds=0.01 + number % 10 * 0.001,
        )
        assert ran.error is not None
        if ran.restarted:  # on a busy machine it may not have had the time to be interrupted
            assert "went on after a KeyboardInterrupt" in ran.error.message
            guest.value(f"{_CHECK}\nheld = [context[0], context[40]]; None")
        else:
            assert ran.error.type == "KeyboardInterrupt"
    assert guest.value("[right(0, held[0]), right(40, held[1])]") == "[True, True]"
    assert guest.value("sum(right(n, t) for n, t in enumerate(context))") == "100"


def test_a_finalizer_that_asks_for_a_document(start: Start) -> None:
    guest = start()
    guest.value(
        "import gc\ngc.set_threshold(20)\nseen = []\n"
        "class Nosy:\n"
        "    def __init__(self): self.me = self\n"
        "    def __del__(self): seen.append(right(8, context[8]))\n"
        "None"
    )
    assert (
        guest.value("sum(right(n, t) for n, t in enumerate(context) if [Nosy(), Nosy()])") == "100"
    )
    assert guest.value("all(seen), len(seen) > 5") == "(True, True)"


def test_after_a_trap_the_window_is_empty(start: Start) -> None:
    guest = start()
    guest.value("held = [context[0], context[4]]; None")
    assert len(pieces(guest)) == 2
    assert guest.run("import os; os.abort()").restarted
    assert guest.value(f"{_CHECK}\nsum(right(n, t) for n, t in enumerate(context))") == "100"


# ------------------------------------------------------------------- helpers and calls


def test_grep_stops_at_its_limit_and_holds_nothing(start: Start) -> None:
    guest = start()
    assert guest.value("[str(found) for found in grep('<4>', around=3)]") == repr(["<4>süß"])
    whole = mapped(guest)._count
    assert guest.value("[found.name for found in grep('<[08]?>', around=3, limit=2)]") == (
        "['0.txt', '8.txt']"
    )
    assert mapped(guest)._count - whole <= 9
    assert guest.value("grep('fox', limit=0)") == "[]"
    assert guest.value(
        "[p.name for p in grep('</[0-9]+>', limit=200)]",
    ) == repr(NAMES)
    error = guest.run("held = [context[n] for n in range(0, 100, 4)]").error
    assert error is not None  # and yet grep needs no more than its one document
    assert guest.value("len(grep('</[0-9]+>', limit=200))") == "100"


def test_cite_and_chunks(start: Start) -> None:
    guest = start()
    assert guest.value("cite(0, 4, '44.txt')") == repr('"<44>" [44.txt, characters 0-4]')
    assert guest.run("cite(0, 4)").error.message.startswith("say which of the 100")  # type: ignore[union-attr]
    assert guest.run("cite(0, 4, 'x')").error.type == "KeyError"  # type: ignore[union-attr]
    assert guest.value("sum(map(len, chunks(context[8], 1000)))") == str(len(TEXTS[8]))
    assert guest.run("chunks(context, 5)").error.type == "TypeError"  # type: ignore[union-attr]


def test_it_comes_back_when_it_is_overwritten(start: Start) -> None:
    guest = start()
    guest.run("context = 5; del context_names")
    assert guest.value("len(context), context_names[5]") == "(100, '5.txt')"


def test_documents_as_answers_and_in_calls(start: Start) -> None:
    calls: list[object] = []

    def host(name: str, arguments: list[object]) -> object:
        def read(value: object) -> object:
            if isinstance(value, GuestText):
                return value.read()
            return [read(each) for each in value] if isinstance(value, list) else value

        calls.append(read(arguments))
        return [{"text": "yes"}] if name == "rlm_query" else "yes"

    guest = start(host=host, functions=("llm_query", "rlm_query"))
    assert guest.value("llm_query(context[5])") == "'yes'"
    assert calls.pop() == [TEXTS[5]]
    assert guest.value("rlm_query('what?', context)") == "'yes'"
    query, _ = calls.pop()  # type: ignore[misc]
    assert query[0] == "what?"
    assert isinstance(query[1], WholeContext)
    guest.value("rlm_query('what?', context[8])")
    assert calls.pop() == [["what?", TEXTS[8]], None]
    # Some of them are named, and not handed over; with a step they are a list of texts.
    for part, places in {"3:9": (3, 9), "5:6": (5, 6), ":": (0, 100), "50:][3:": (53, 100)}.items():
        guest.value(f"rlm_query('what?', context[{part}])")
        assert calls.pop() == [["what?", PartOfContext(*places)], None]
    guest.value("rlm_query('what?', context[3:9:2])")
    assert calls.pop() == [["what?", TEXTS[3:9:2]], None]
    guest.value("rlm_query('what?', context[3:3])")
    assert calls.pop() == [["what?", []], None]
    guest.value("rlm_query('what?', chunks('abcde', 2))")
    assert calls.pop() == [["what?", ["ab", "cd", "e"]], None]
    guest.run("FINAL(context[4])")
    assert calls.pop() == [TEXTS[4]]
    assert guest.run("rlm_query('what?', context[::4])").error.type == "MemoryError"  # type: ignore[union-attr]


# ------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_brings_the_mapped_documents_back(start: Start, tmp_path: Path) -> None:
    guest = start()
    guest.value("held = [context[0], context[44]]; hash(held[1]); it = iter(context); next(it)")
    guest.value("sum(len(text) for text in context[:60])")
    before = memory_of(guest.repl)
    assert guest.repl.save(tmp_path / "kept", 1) is not None
    other = start()
    assert other.repl.restore(tmp_path / "kept", 9) == (1, b"")
    assert memory_of(other.repl) == before
    assert pieces(other) == pieces(guest)
    for one in (guest, other):
        assert one.value("right(0, held[0]) and right(44, held[1]) and right(1, next(it))") == (
            "True"
        )
        assert one.value("sum(right(n, t) for n, t in enumerate(context))") == "100"
    assert pieces(other) == pieces(guest)


def test_checkpoints_on_each_other(start: Start, tmp_path: Path) -> None:
    """What is mapped over pages of an earlier checkpoint must not get them back."""
    folder = tmp_path / "kept"
    guest = start()
    guest.run(f"x = bytearray(b'x' * {4 * SMALL_BYTES})")
    chained = 0
    for turn in range(1, 9):
        guest.value(
            f"held = [context[n] for n in range({turn * 8}, {turn * 8 + 6})]\n"
            f"hashes = [hash(text) for text in held]\nx[{turn * 100_000}] = {turn}"
        )
        found = guest.repl.save(folder, turn)
        assert found is not None
        chained += not found.alone
        other = start()
        assert other.repl.restore(folder, turn) == (turn, b"")
        assert pieces(other) == pieces(guest)
        for address, length in pieces(guest):
            assert read(other, address, length) == read(guest, address, length)
        assert other.value(f"x[{turn * 100_000}], [hash(text) for text in held] == hashes") == (
            f"({turn}, True)"
        )
        assert other.value("sum(right(n, t) for n, t in enumerate(context))") == "100"
        if turn % 3 == 0:  # go on from what was restored
            guest = other
    assert chained > 3


# --------------------------------------------------------------------------- the spool


def test_many_short_documents(fork: Fork, small_space: None, tmp_path: Path) -> None:
    texts = [f"{n}: " + "word " * (n % 7 * 10) for n in range(3000)]
    texts[1500] = ""
    filler = {f"long {n}": "x" * (9 * MIB) for n in range(10)}
    named = {**{f"short {n}": text for n, text in enumerate(texts)}, **filler}
    with prompt_from_texts(named, folder=tmp_path) as prompt:
        guest = fork(prompt=prompt, memory_bytes=HEAP_BYTES)
        assert guest.value("sum(map(len, context[:3000]))") == str(sum(map(len, texts)))
        assert guest.value("all(t.startswith(f'{n}: ') for n, t in enumerate(context[:1500]))") == (
            "True"
        )
        assert guest.value("context[1500], context[2999][:6]") == "('', '2999: ')"
        assert guest.value("context_names[2345], context_names.index('long 3')") == (
            "('short 2345', 3003)"
        )


def test_short_documents_alone(
    fork: Fork, small_space: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ondemand, "STR_BYTES", 8 * MIB)  # their file is longer than a str can be
    texts = [text_of(number) for number in (1, 2, 6, 10) for _ in range(40)]
    texts = [f"{number} {text}" for number, text in enumerate(texts * 2)]
    with prompt_from_texts(texts, folder=tmp_path) as prompt:
        assert len(prompt.regions) == 1
        guest = fork(prompt=prompt, memory_bytes=HEAP_BYTES)
        assert (
            guest.value(
                "type(context).__name__, all(t.startswith(f'{n} <') for n, t in enumerate(context))"
            )
            == "('Documents', True)"
        )
        assert guest.value("[len(text) for text in context[-200:]]") == repr(
            [len(text) for text in texts[-200:]]
        )


def test_a_spool_that_is_gone_ends_the_run(start: Start, tmp_path: Path) -> None:
    named = {f"{n}": "x" * (9 * MIB) for n in range(12)}
    with prompt_from_texts(named, folder=tmp_path) as prompt:
        guest = start(prompt)
        assert guest.value("len(context[0])") == str(9 * MIB)
        prompt.regions[5].path.unlink()
        with pytest.raises(SandboxError, match="cannot be opened"):
            guest.run("context[5]")
        assert guest.value("len(context[1])") == str(9 * MIB)  # in a fresh fork


class Sparse:
    """Texts of zeros in files that take no room, with marks at both ends."""

    single = False
    identity = "zeros"

    def __init__(self, folder: Path, sizes: Sequence[int]) -> None:
        self.regions: list[Region] = []
        self.documents: list[Document] = []
        for number, size in enumerate(sizes):
            head, tail = b"<%d>" % number, b"</%d>" % number
            path = folder / f"{number}"
            with path.open("wb") as file:
                file.write(head)
                file.seek(size - len(tail))
                file.write(tail)
                length = mapping.whole_pages(size + 4)
                file.truncate(length)
            self.regions.append(Region(path, 0, length))
            self.documents.append(Document(f"{number}.txt", number, 0, size, 1, True))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_beyond_four_gigabytes(fork: Fork, tmp_path: Path) -> None:
    """More than six of them, with one document that takes most of the window alone."""
    sizes = [*[600 * MIB] * 4, 2047 * MIB, *[600 * MIB] * 4]
    guest = fork(prompt=Sparse(tmp_path, sizes), memory_bytes=512 * MIB)
    assert guest.value(f"{_CHECK}\n[len(text) >> 20 for text in context]") == repr(
        [size >> 20 for size in sizes]
    )
    scan = "sum(right(n, context[n]) for n in range(9))"
    assert guest.run(scan, cell_seconds=400, wall_seconds=450).value == "9"
    # From here on their ends alone are looked at.
    guest.run("def right(n, text): return text[:3] == f'<{n}>' and text[-4:] == f'</{n}>'")
    assert guest.value(scan) == "9"
    guest.value("held = context[0], context[8]; None")
    assert guest.value("right(4, context[4]), right(0, held[0]), right(8, held[1])") == (
        "(True, True, True)"
    )
    error = guest.run("more = [context[n] for n in (1, 2, 4)]").error
    assert error is not None
    assert error.type == "MemoryError"
    assert guest.value("del held; right(4, context[4])") == "True"
    assert guest.repl.save(tmp_path / "kept", 1) is not None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_spool_of_more_than_four_gigabytes(fork: Fork, tmp_path: Path) -> None:
    """From files to answers: short documents in one file of the spool, beyond 4 GiB in it."""
    path = tmp_path / "documents.jsonl"
    filler = "0123456789abcde " * (25 << 12)  # 1.6 MB
    with path.open("w") as file:
        for number in range(2800):
            file.write(f'"<{number}>{filler}</{number}>"\n')
    with open_prompt([path], folder=tmp_path / "spool") as prompt:
        path.unlink()
        assert len(prompt.regions) == 1
        assert prompt.mapped_bytes > 4 << 30
        guest = fork(prompt=prompt, memory_bytes=512 * MIB)
        assert guest.value(f"{_CHECK}\nlen(context), right(2799, context[-1])") == "(2800, True)"
        scan = "sum(right(n, text) for n, text in enumerate(context))"
        assert guest.run(scan, cell_seconds=400, wall_seconds=450).value == "2800"
        part = Part(prompt, 2700, 2800)  # which fits, and lies beyond 4 GiB
        assert part.mapped_bytes < 200 << 20
        small = fork(prompt=part, memory_bytes=512 * MIB)
        assert small.value(f"{_CHECK}\ntype(context).__name__, len(context)") == "('list', 100)"
        assert small.value("sum(right(2700 + n, t) for n, t in enumerate(context))") == "100"
