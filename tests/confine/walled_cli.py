"""The command line with a scripted model, which says what wall holds and can try to get out.

    python -m tests.confine.walled_cli '["first turn"]' ask …

A sub-call replies with what came of attempts at the file that ESCAPE_TO names.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from rlm_local import runtime, wall
from rlm_local.__main__ import main
from rlm_local.model import ScriptedModel
from rlm_local.paths import cache_folder
from tests.confine.runner import outcome

real = wall.confine_process


def told(**arguments: object) -> object:
    put_up = real(**arguments)  # type: ignore[arg-type]
    print(f"wall: {put_up}", file=sys.stderr)
    writable = cache_folder("compiled") in arguments["writable"]  # type: ignore[operator]
    print(f"compiled is writable: {writable}", file=sys.stderr)
    return put_up


def escape() -> str:
    path = Path(os.environ.get("ESCAPE_TO", os.devnull))
    return json.dumps(
        {
            "reads": outcome(path.read_bytes),
            "writes": outcome(lambda: path.with_name("new").write_text("x")),
            "connects": outcome(lambda: socket.socket(type=socket.SOCK_DGRAM)),
            "runs": outcome(lambda: subprocess.run(["/bin/sh", "-c", ":"], check=True)),
            "changes native code": outcome(
                lambda: next(iter(cache_folder("compiled").glob("*.cwasm"))).open("r+b")
            ),
        }
    )


if __name__ == "__main__":
    turns = json.loads(sys.argv.pop(1))
    wall.confine_process = told  # type: ignore[assignment]
    runtime.load_model = lambda *_, **__: ScriptedModel(  # type: ignore[assignment]
        turns,
        sub_calls=lambda request: escape(),  # on the guest's thread, behind the wall
    )
    main()
