"""The command line as a process of its own, with a scripted model and no WebAssembly.

    python -m tests.scripted_cli '["first turn", "second turn"]' ask …

Says "hanging" on stderr when the script's turn is "hang".
"""

from __future__ import annotations

import json
import sys

from rlm_local import runtime
from rlm_local.cli import main
from tests.fakes import FakeSandbox, HangingModel


def say_hanging() -> None:
    print("hanging", file=sys.stderr, flush=True)


if __name__ == "__main__":
    turns = json.loads(sys.argv[1])
    runtime.load_model = lambda *_, **__: HangingModel(turns, say_hanging)  # type: ignore[assignment]
    runtime.start_sandbox = lambda notice: FakeSandbox()  # type: ignore[assignment]
    main(sys.argv[2:])
