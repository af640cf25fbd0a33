"""The command `rlm-local`, and `python -m rlm_local`.

Small on purpose: from its first line on, Ctrl-C ends the command without a
traceback, also while the rest of it is still being imported.
"""

from __future__ import annotations

import os
from typing import NoReturn

from rlm_local.interrupts import raise_dropped_again


def main() -> NoReturn:
    """Run the command line and exit."""
    raise_dropped_again()
    try:
        from rlm_local.cli import main as run
    except KeyboardInterrupt:
        os._exit(130)  # not `sys.exit`: see `rlm_local.cli.leave`
    run()


if __name__ == "__main__":
    main()
