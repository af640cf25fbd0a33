"""What is known to make llama.cpp end its process, and what keeps it from that: a case each.

Files that kill are in test_modelfile, grammars in test_forms, states in test_states.
Here are the calls: each runs in a process of its own, which must come back.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETUP = """
import sys
from pathlib import Path
import numpy as np
from rlm_local.llama.memory import SEQUENCES
from rlm_local.llama.native import Loading, Native
native = Native(
    Path(sys.argv[1]),
    Loading(cells=1024, batch_tokens=64, threads=1, flash=False, mapped=True),
)
def row(count): return np.arange(count, dtype=np.int32)
def refused(call):
    try:
        call()
    except ValueError as error:
        print("refused:", error)
    else:
        raise SystemExit("it was not refused")
def works():
    native.add(0, row(5), 0, output=True)
    assert native.decode() == 0 and native.logits().shape[0] == 1
    native.remove(0, 0)
"""

CALLS = {
    "more tokens than a batch holds": "refused(lambda: native.add(0, row(65), 0, output=True))",
    "a second part that does not fit": (
        "native.add(0, row(60), 0, output=False)\n"
        "refused(lambda: native.add(1, row(5), 0, output=True))\n"
        "native.add(1, row(4), 0, output=True)\n"
        "native.decode(); native.remove(0, 0); native.remove(1, 0)"
    ),
    "an empty batch": "refused(native.decode)",
    "a part without tokens": "refused(lambda: native.add(0, row(0), 0, output=True))",
    "more outputs than sequences": (
        "for n in range(64): native.add(n % SEQUENCES, row(1), n // SEQUENCES, output=True)\n"
        "refused(lambda: native.add(0, row(1), 9, output=True))\n"
        "native.decode()\n"
        "for n in range(64): native.remove(n, 0)"
    ),
    "a sequence id of 256": "refused(lambda: native.add(256, row(1), 0, output=True))",
    "a negative sequence id": "refused(lambda: native.add(-1, row(1), 0, output=True))",
    "a copy to sequence 256": "refused(lambda: native.copy(0, 256, 1))",
    "a copy of a part": (
        "native.add(0, row(40), 0, output=True); native.decode()\n"
        "native.copy(0, 1, 17)\n"  # fatal without a unified cache
        "native.add(1, row(3), 17, output=True); assert native.decode() == 0\n"
        "native.remove(0, 0); native.remove(1, 0)"
    ),
    "the text of a token out of range": (
        "refused(lambda: native.vocabulary.piece(native.vocabulary.size))\n"
        "refused(lambda: native.vocabulary.piece(-1))"
    ),
    "a text that the tokenizer has no memory for": (
        "import resource\n"
        "from rlm_local.errors import ModelError\n"
        "from rlm_local.llama.native import MOST_TEXT_BYTES\n"
        "used = int(open('/proc/self/statm').read().split()[5]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + (512 << 20),) * 2)\n"
        "text = '\\x01' * MOST_TEXT_BYTES\n"
        "assert len(native.vocabulary.tokenize(text)) == len(text)\n"
        "try: native.vocabulary.tokenize(2 * text)\n"
        "except ModelError as error: print(error)"
    ),
    "a grammar and a token that it disallows": (
        "grammar = native.grammar('root ::= \"a\"')\n"
        "wrong = next(t for t in range(native.vocabulary.size) if not grammar.allows(t))\n"
        "refused(lambda: grammar.accept(wrong))"
    ),
    "a grammar and an early end": (
        'grammar = native.grammar(\'root ::= "a" "b"\')\n'
        "end = next(t for t in range(native.vocabulary.size) if native.vocabulary.ends(t))\n"
        "assert not grammar.allows(end)\n"
        "refused(lambda: grammar.accept(end))"
    ),
    "a grammar and a token out of range": (
        "grammar = native.grammar('root ::= \"a\"')\n"
        "refused(lambda: grammar.accept(native.vocabulary.size))\n"
        "refused(lambda: grammar.allows(-1))"
    ),
    "a grammar that was freed": (
        "grammar = native.grammar('root ::= \"a\"')\n"
        "grammar.close(); grammar.close()\n"
        "refused(lambda: grammar.allows(5))"
    ),
    "a position that does not follow": (
        "from rlm_local.errors import ModelError\n"
        "native.add(0, row(5), 0, output=True); native.decode()\n"
        "native.add(0, row(5), 50, output=True)\n"
        "try: native.decode()\n"
        "except ModelError as error: print(error)\n"
        "native.remove(0, 0)"
    ),
    "more tokens than cells": (
        "for n in range(16):\n"
        "    native.add(n, row(64), 0, output=False); assert native.decode() == 0\n"
        "native.add(20, row(1), 0, output=True); assert native.decode() == 1\n"
        "for n in range(21): native.remove(n, 0)"
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_would_kill_is_refused(tiny_path: Path, name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", f"{SETUP}\n{CALLS[name]}\nworks()\nprint('alive')", tiny_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2_000:]
    assert run.stdout.endswith("alive\n")
