"""Interrupts that Python drops, raised again. Imports nothing that takes time: see `__main__`."""

from __future__ import annotations

import _thread
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: After how long an interrupt that was dropped comes again.
_AGAIN_SECONDS = 0.05


def raise_dropped_again() -> None:
    """Have Ctrl-C come again where it came when nothing can be raised, as in the callback of
    a weak reference: the import system has some."""
    sys.unraisablehook = _raise_again


def _raise_again(dropped: UnraisableHookArgs) -> None:
    if isinstance(dropped.exc_value, KeyboardInterrupt):
        again = threading.Timer(_AGAIN_SECONDS, _thread.interrupt_main)
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(dropped)
