"""The worker's ear: reads commands while the main thread computes.

It also knows until when each call may run. A deadline or a cancellation ends the
batch that is being computed, whoever it is for; the main thread then ends the calls
that are due and computes the rest of the batch again. Where it does not come back to that, the
listener ends the process, so that its successor has the other calls: see `watch`.
"""

from __future__ import annotations

import math
import os
import queue
import select
import threading
import time
import traceback
from collections.abc import Callable
from typing import NoReturn, Protocol

from rlm_local.llama import protocol
from rlm_local.llama.protocol import Cancel, Command, Complete
from rlm_local.llama.watch import Place, Watch

_FINISH_SECONDS = 1.5  # less than the parent waits for the end


class Abortable(Protocol):
    """What computes. Both may be called from any thread."""

    def abort(self) -> None:
        """End the running batch early, and every later one at once."""
        ...

    def resume(self) -> None:
        """Take `abort` back."""
        ...


class Listener:
    """Commands from `pipe`, in order, and which calls are due.

    `finishing` is held by the main thread over what the end of the parent should not break
    off: it may close the pipe as soon as it has its reply.
    """

    def __init__(self, pipe: int) -> None:
        self.finishing = threading.Lock()
        self.watch = Watch()
        self._pipe = pipe
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._engine: Abortable | None = None
        self._refuse: Callable[[Place], None] | None = None
        self._deadlines: dict[int, float] = {}  # of calls that are under way
        self._due: set[int] = set()
        threading.Thread(target=self._run, name="listener", daemon=True).start()

    def attach(self, engine: Abortable, *, refuse: Callable[[Place], None] | None = None) -> None:
        """Whose batches to end when a call is due; and what to do, as the last thing of all, about
        a request that the main thread does not come back from."""
        self._refuse = refuse
        self._engine = engine

    def first(self) -> Command:
        """The first command, waited for."""
        return self._commands.get()

    def take(self, *, wait: bool) -> list[Command]:
        """Commands that have come; with `wait` at least one."""
        taken = [self._commands.get()] if wait else []
        while not self._commands.empty():  # nobody else takes from it
            taken.append(self._commands.get())
        return taken

    def due(self) -> set[int]:
        """Calls to end now, each named once. What has been heard of them is taken after this."""
        with self._lock:
            due, self._due = self._due, set()
            if self._engine is not None:
                self._engine.resume()
            self.watch.heed()
        return due

    def answered(self, number: int) -> None:
        """The call is over: its deadline means nothing any more."""
        with self._lock:
            self._deadlines.pop(number, None)
            self._due.discard(number)

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    first = min(self._deadlines.values(), default=math.inf)
                wait = min(first - time.monotonic(), self.watch.patience / 3)
                if select.select([self._pipe], [], [], max(0.0, wait))[0]:
                    self._hear(protocol.receive_command(self._pipe))
                with self._lock:
                    now = time.monotonic()
                    self._end([n for n, until in self._deadlines.items() if now >= until])
                if self.watch.is_stuck() and not self.finishing.locked():  # that may take its time
                    self._give_up()
        except protocol.Closed:
            # The parent is done, or dead. There is nothing else to save, and the main
            # thread may be deep inside llama.cpp.
            self.finishing.acquire(timeout=_FINISH_SECONDS)
            os._exit(0)
        except BaseException:  # noqa: BLE001  # out of memory, say
            # Deaf, the process would keep no deadline and outlive its parent.
            try:
                traceback.print_exc()
            finally:
                os._exit(1)

    def _hear(self, command: Command) -> None:
        if isinstance(command, Cancel):
            with self._lock:
                self._end([command.id] if command.id in self._deadlines else [])
            return
        if isinstance(command, Complete):
            with self._lock:  # before it can be answered, and so forgotten
                self._deadlines[command.id] = command.deadline
        self._commands.put(command)

    def _end(self, numbers: list[int]) -> None:
        """Note that these are due, with the lock held."""
        for number in numbers:
            del self._deadlines[number]
            self._due.add(number)
        if numbers and self._engine is not None:
            self._engine.abort()
            self.watch.abort()

    def _give_up(self) -> NoReturn:
        try:
            seconds = f"{self.watch.patience:g} s of CPU time"
            os.write(2, f"llama.cpp did not come back within {seconds} and was ended\n".encode())
            place = self.watch.attended
            if place is not None and self._refuse is not None:
                self._refuse(place)
        finally:
            os._exit(1)
