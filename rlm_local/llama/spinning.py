"""How llama.cpp's threads wait for each other: said before it is loaded, in the environment.

They meet some hundred times a token. GNU's OpenMP lets them spin for milliseconds then, which on
a busy machine, where the other thread may have no core, can take ten times as long as the work.
Without spinning (`OMP_WAIT_POLICY=passive`) each meeting costs a call of the kernel, on an idle
machine a third of the time. A short spin has most of both (`python -m bench.spinning`).
"""

from __future__ import annotations

import os

#: The rounds of a spin, each an instruction that pauses: tens of microseconds in all.
ROUNDS = 4_000
SETTING = "GOMP_SPINCOUNT"


def variables() -> dict[str, str]:
    """For the environment of a process that loads llama.cpp. A count that was set stays."""
    return {SETTING: os.environ.get(SETTING, str(ROUNDS)), "OMP_WAIT_POLICY": "passive"}
