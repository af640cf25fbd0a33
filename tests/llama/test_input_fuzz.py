"""Ten thousand damaged inputs: headers, stored states and grammars. Nothing dies, nothing hangs.

Whole files go through the real loader in test_loader_fuzz, which takes a process each.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rlm_local.errors import ModelFileError
from rlm_local.llama import inspect
from rlm_local.llama.states import PrefixStore
from tests.llama import build

SEED = int(os.environ.get("RLM_FUZZ_SEED", "1"))
HEADERS, STATES, GRAMMARS = 5_000, 4_000, 1_000
SLOWEST_SECONDS = 5.0


def damaged(raw: bytes, picked: random.Random, *, within: int) -> bytes:
    """`raw` with some bytes of its first `within` changed, or cut short, or both."""
    changed = bytearray(raw)
    for _ in range(picked.randint(1, 4)):
        changed[picked.randrange(within)] = picked.choice(
            (0, 1, 127, 128, 255, picked.randrange(256))
        )
    if not picked.randrange(4):
        del changed[picked.randrange(len(changed)) :]
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_headers(tmp_path: Path) -> None:
    picked = random.Random(SEED)
    sound = build.gguf()
    header = len(sound) - sum(size for *_, size in build.tensors())
    taken = 0
    for number in range(HEADERS):
        path = build.written(tmp_path, damaged(sound, picked, within=header))
        began = time.monotonic()
        try:
            inspect(path)
            taken += 1
        except ModelFileError:
            pass
        assert time.monotonic() - began < SLOWEST_SECONDS, f"seed {SEED}, number {number}"
    assert 0 < taken < HEADERS


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_states(tmp_path: Path) -> None:
    picked = random.Random(SEED)
    store = PrefixStore(tmp_path / "key")
    store.put(np.arange(50, dtype=np.int32), memoryview(picked.randbytes(400)))
    [path] = (tmp_path / "key").glob("*.kv")
    sound = path.read_bytes()
    for number in range(STATES):
        raw = damaged(sound, picked, within=len(sound))
        if raw == sound:
            continue
        path.write_bytes(raw)
        read = [state.read() for state in PrefixStore(tmp_path / "key").states]
        assert read in ([], [None]), f"seed {SEED}, number {number}"


GRAMMAR_FUZZ = """
import random, sys, time
from pathlib import Path
from rlm_local.errors import FormError
from rlm_local.forms.gbnf import checked
from rlm_local.llama.native import Loading, Native
path = Path(sys.argv[1])
seed, count, slowest = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
native = Native(path, Loading(cells=256, batch_tokens=64, threads=1, flash=False, mapped=True))
picked = random.Random(seed)
SEEDS = [
    'root ::= "x" [0-9]{3} ("," [a-z]{2}){2}',
    'root ::= (a | b)* "."\\na ::= "a" b?\\nb ::= [^ab\\\\n]+ # comment',
    'root ::= "{" ws ("k" ":" v ("," v)*)? "}"\\nv ::= root | "1"\\nws ::= [ \\\\t]{0,4}',
]
MARKS = list('()[]{}|*+?"#:=.,-\\\\^ \\n')
MARKS += ["root", "::=", "a", "0", "{1,9}", "\\\\x41", "\\\\u00e9", "\\u20ac"]
made = 0
for number in range(count):
    text = list(picked.choice(SEEDS))
    for _ in range(picked.randint(1, 4)):
        at = picked.randrange(len(text))
        text[at : at + picked.randint(0, 2)] = [picked.choice(MARKS)]
    began = time.monotonic()
    try:
        grammar = native.grammar(checked("".join(text)))
    except FormError:
        continue
    made += 1
    for _ in range(8):
        allowed = [t for t in range(256) if grammar.allows(t) and not native.vocabulary.ends(t)]
        if not allowed:
            break
        grammar.accept(picked.choice(allowed))
    grammar.close()
    if time.monotonic() - began > slowest:
        raise SystemExit(f"number {number} took too long: {''.join(text)!r}")
print("made", made)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_grammars(tiny_path: Path) -> None:
    arguments = [str(tiny_path), str(SEED), str(GRAMMARS), str(SLOWEST_SECONDS)]
    run = subprocess.run(
        [sys.executable, "-c", GRAMMAR_FUZZ, *arguments],
        capture_output=True,
        text=True,
        timeout=1_500,
        check=False,
    )
    assert run.returncode == 0, f"seed {SEED}: {run.stdout[-500:]} {run.stderr[-1_000:]}"
    assert run.stdout.startswith("made ")
