"""The command line as a process of its own, with a scripted model.

    python -m tests.scripted_cli [--wasm] '["first turn", "second turn"]' ask …

Without `--wasm` the model's code runs in this process. Says "hanging" on stderr
when the script's turn is "hang".
"""

from __future__ import annotations

import json
import os
import sys

try:
    from rlm_local.interrupts import raise_dropped_again

    raise_dropped_again()  # as `rlm_local.__main__` does, too
    from rlm_local import runtime
    from rlm_local.__main__ import main
    from tests.fakes import FakeSandbox, HangingModel
except KeyboardInterrupt:  # as `rlm_local.__main__` does for its own imports
    os._exit(130)


def say_hanging() -> None:
    print("hanging", file=sys.stderr, flush=True)


if __name__ == "__main__":
    wasm = sys.argv[1] == "--wasm"
    turns = json.loads(sys.argv.pop(1 + wasm))
    runtime.load_model = lambda *_, **__: HangingModel(turns, say_hanging)  # type: ignore[assignment]
    if wasm:
        del sys.argv[1]
    else:
        runtime.start_sandbox = lambda notice: FakeSandbox()  # type: ignore[assignment]
    main()
