"""The prompt, and what else a REPL is given: it comes back, whatever a cell does to it."""

from __future__ import annotations

import hashlib

from tests.attacks.forge import MEMORY
from tests.attacks.suite import HARMLESS, TEXT, Case, Forks, World, cases, gives, raises, withstand

CASES = [
    Case("another context", "context = 'forged'", HARMLESS),
    Case("no context", "del context", HARMLESS),
    Case("no variables", "for n in list(globals()):\n if n != 'kept': del globals()[n]", HARMLESS),
    Case("a character of it", "context[0] = 'X'", raises("TypeError")),
    Case("its memory as bytes", "memoryview(context)", raises("TypeError")),
    Case("its bytes, changed", "b = bytearray(context, 'ascii'); b[0] = 65; context[0]",
         gives("'t'")),
    Case("its type", "context.__class__ = list", raises("TypeError")),
    Case("its methods", "str.upper = None", raises("TypeError")),
    Case("interning it", "import sys; sys.intern(context) is context", HARMLESS),
    Case("its references, many", "l = [context] * 10**6; del l; context[:3]", gives("'the'")),
    Case("its references, few",
         "import sys\nfor _ in range(10**5): x = context; del x\nsys.getrefcount(context) > 10**8",
         gives("True")),
    Case("what it adds up to", "c = context\nc += 'x'\nlen(context), len(c)",
         gives("(4400, 4401)")),
    Case("the helpers", "llm_query = FINAL = grep = chunks = cite = SHOW_VARS = None", HARMLESS),
    Case("the class of the helpers", "type(chunks).__call__ = lambda *a: 'forged'", HARMLESS,
         poisons=True),
    Case("the question", "question = 'forged'", HARMLESS),
    Case("the names", "context_names.clear(); context_names.append('forged')", HARMLESS),
]  # fmt: skip


@cases(CASES)
def test_prompt(fork: Forks, world: World, case: Case) -> None:
    withstand(fork, world, case)


def test_what_was_overwritten_comes_back(fork: Forks) -> None:
    guest = fork(TEXT)
    guest.run("context = question = llm_query = FINAL = grep = context_names = None")
    assert guest.value("context[:3], question, context_names") == "('the', 'what?', ['0.txt'])"
    guest.run("FINAL('x')")
    assert guest.calls == [("final", ["x"])]


def test_documents_are_separate(fork: Forks, world: World) -> None:
    """One that was written over does not change the others, or the files."""
    guest = fork("first " * 100, "ünïcode " * 100, "\U0001f600 " * 100)
    before = {path: path.read_bytes() for path in world.spool.rglob("*") if path.is_file()}
    guest.run(f"{MEMORY}\nmemory[id(context[1]) + 28 : id(context[1]) + 60] = b'#' * 32")
    assert guest.value("context[1][:3], context[0][:5], context[2][0]") == (
        "('###', 'first', '\U0001f600')"
    )
    assert {p: p.read_bytes() for p in world.spool.rglob("*") if p.is_file()} == before
    fresh = fork("first " * 100, "ünïcode " * 100, "\U0001f600 " * 100)
    assert fresh.value("context[1][:7]") == "'ünïcode'"


def test_the_snapshot_is_what_it_was(fork: Forks, world: World) -> None:
    """Guests write over pages that all forks share, and the file keeps its bytes."""

    def digests() -> dict[str, str]:
        files = (world.root / "cache" / "snapshot").glob("*.memory")
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    first = fork(TEXT)
    before = digests()
    assert before
    first.run(f"{MEMORY}\nmemory[0 : 30 << 20] = bytes(30 << 20)")
    other = fork(TEXT)
    assert other.value("len(context)") == "4400"
    assert digests() == before


def test_two_guests_over_one_prompt(fork: Forks, world: World) -> None:
    """Both map the same file; neither sees what the other writes."""
    from tests.wasm.prompts import TextPrompt

    prompt = TextPrompt(world.spool / "shared", [TEXT])
    first, second = fork(prompt=prompt), fork(prompt=prompt)
    first.run(f"{MEMORY}\nmemory[id(context) + 20 : id(context) + 23] = b'###'")
    assert first.value("context[:5]") == "'### q'"
    assert second.value("context[:5]") == "'the q'"
