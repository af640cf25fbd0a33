"""The worker process, as the parent holds it: start, talk, notice its end, end it.

Its standard error is read all the time into a short memory, because the last
lines that llama.cpp writes before it aborts are the only account of why.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rlm_local.errors import WorkerDied
from rlm_local.limits import MIB
from rlm_local.llama import protocol, spinning
from rlm_local.llama.protocol import Command, Reply
from rlm_local.starting import begin

_KEPT_LINES = 40
_SHOWN_LINES = 8
_LINE_CHARS = 300
_EXIT_SECONDS = 2.0
_HEADROOM_BYTES = 512 * MIB  # above the plan, where the operating system stops the worker
# What llama.cpp warns of when all is well: our windows share one long row of cells.
_ROUTINE = re.compile(r"(load: |llama_context: n_ctx_seq )")


class Exchange:
    """One command that was sent, and the replies to it: use it as a context manager.

    For one thread at a time. Replies that come after its end are nobody's.
    """

    def __init__(self, worker: WorkerProcess, command: Command, until: float) -> None:
        self.number = command.id
        self._worker = worker
        self._command = command
        self._until = until
        self._replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()

    def receive(self, *, until: float) -> Reply:
        """The next reply. A worker that is silent until then is killed. Raises WorkerDied."""
        try:
            reply = self._replies.get(timeout=_seconds_until(until))
        except queue.Empty:
            raise self._worker.hung() from None
        if reply is None:
            raise self._worker.died()
        return reply

    def put(self, reply: Reply | None) -> None:
        """From the reading thread: a reply, or None for that the worker is gone."""
        self._replies.put(reply)

    def __enter__(self) -> Self:
        self._worker.expect(self)
        sent = False
        try:
            self._worker.send(self._command, until=self._until)
            sent = True
        finally:
            if not sent:
                self._worker.forget(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._worker.forget(self)


class WorkerProcess:
    """One worker, for any number of threads at once.

    `death`: how it ended, once that has been noticed.
    """

    def __init__(self, *, memory_bytes: int) -> None:
        command_read, self._commands = os.pipe()
        self._replies, reply_write = os.pipe()
        os.set_blocking(self._commands, False)  # a worker that was stopped reads nothing
        self._write_lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._exchanges: dict[int, Exchange] = {}
        self._exchanges_lock = threading.Lock()
        self._gone = False  # nothing will be read from it any more
        self._death_lock = threading.Lock()
        self.death: WorkerDied | None = None
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "rlm_local.llama.worker"),
                    *(str(command_read), str(reply_write), str(memory_bytes + _HEADROOM_BYTES)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(command_read, reply_write),
                env=_environment(),
                process_group=0,  # the terminal's Ctrl-C is not for it
            )
        except OSError as error:
            os.close(self._commands)
            os.close(self._replies)
            raise WorkerDied(f"the model's process cannot be started: {error.strerror}") from error
        finally:
            os.close(command_read)
            os.close(reply_write)
        self._threads: list[threading.Thread] = []
        try:
            self._listen(self._read_replies, "worker-replies")
            self._listen(self._read_errors, "worker-errors")
        except WorkerDied:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def exchange(self, command: Command, *, until: float) -> Exchange:
        """Send `command` on entering, by `until`; replies are read within. Raises WorkerDied."""
        return Exchange(self, command, until)

    def send(self, command: Command, *, until: float) -> None:
        """Send a command whose replies are nobody's. Raises WorkerDied.

        A worker that has not taken all of it by `until` is killed.
        """
        frame = protocol.frame(command)
        # Whoever writes now may be kept waiting by a worker that was stopped.
        if not self._write_lock.acquire(timeout=_seconds_until(until)):
            raise self.hung()
        try:
            whole = False
            try:
                if self._commands >= 0:
                    protocol.write(self._commands, frame, until=until)
                    whole = True
            except protocol.Closed:
                pass
            except protocol.Untaken:
                raise self.hung() from None
            finally:
                if not whole:  # half a command, when this thread is interrupted, or none
                    self._process.kill()
        finally:
            self._write_lock.release()
        if not whole:
            raise self.died()

    def expect(self, exchange: Exchange) -> None:
        """Give `exchange` the replies to its number from now on."""
        with self._exchanges_lock:
            self._exchanges[exchange.number] = exchange
            if self._gone:
                exchange.put(None)

    def forget(self, exchange: Exchange) -> None:
        with self._exchanges_lock:
            del self._exchanges[exchange.number]

    def hung(self) -> WorkerDied:
        """End a worker that did not answer in time."""
        with self._death_lock:
            self._process.kill()
            self._process.wait()
            if self.death is None:
                self.death = WorkerDied(
                    "the model's process did not answer in time and was stopped",
                    hint="try again; a smaller model answers faster",
                )
            return self.death

    def died(self) -> WorkerDied:
        """How it ended, in its own last words."""
        with self._death_lock:
            if self.death is None:
                code = self._wait()
                self._threads[1].join(_EXIT_SECONDS)
                how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                self.death = WorkerDied(
                    self.with_last_words(f"the model's process died ({how})"),
                    hint="if memory is short, lower context_tokens or take a smaller model",
                )
            return self.death

    def close(self) -> None:
        """End the process and wait for it. Closing twice is harmless."""
        if not self._write_lock.acquire(timeout=_EXIT_SECONDS):
            self._process.kill()  # then whoever waits for it to read goes on
            self._write_lock.acquire()
        try:
            if self._commands < 0:
                return
            os.close(self._commands)  # the worker takes it for the order to end
            self._commands = -1
        finally:
            self._write_lock.release()
        self._wait()
        for thread in self._threads:
            thread.join()
        os.close(self._replies)
        if self._process.stderr is not None:  # unless its reader has closed it
            self._process.stderr.close()

    def with_last_words(self, message: str) -> str:
        """`message`, and what the process wrote last."""
        lines = [line for line in self._lines if not _ROUTINE.match(line)]
        shown = "\n".join(f"  {line}" for line in lines[-_SHOWN_LINES:])
        return f"{message}; it last wrote:\n{shown}" if shown else message

    def _listen(self, read: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=read, name=name, daemon=True)
        begin(thread, "the model", WorkerDied)
        self._threads.append(thread)

    def _wait(self) -> int:
        """Its exit code, once it is gone: soon, by its own will or not."""
        try:
            return self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _read_replies(self) -> None:
        """In a thread, so that an interrupt cannot cut a reply in two."""
        try:
            while True:
                reply = protocol.receive_reply(self._replies)
                with self._exchanges_lock:
                    exchange = self._exchanges.get(reply.id)
                if exchange is not None:
                    exchange.put(reply)
        except protocol.Closed:
            pass
        finally:  # also when there is no memory for a reply: nobody waits for ever
            with self._exchanges_lock:
                self._gone = True
                waiting = list(self._exchanges.values())
            for exchange in waiting:
                exchange.put(None)

    def _read_errors(self) -> None:
        stream = self._process.stderr
        if stream is None:
            return
        with stream:
            # Bounded reads: a line may never end.
            for line in iter(lambda: stream.readline(1 << 16), b""):
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._lines.append(text[:_LINE_CHARS])


def _seconds_until(moment: float) -> float:
    """As long as a thread may wait: at most TIMEOUT_MAX, which an endless deadline means."""
    return max(0.0, min(moment - time.monotonic(), threading.TIMEOUT_MAX))


def _environment() -> dict[str, str]:
    """Ours, with the same import path and what keeps llama.cpp modest and offline."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        **spinning.variables(),
        "GGML_NO_BACKTRACE": "1",  # else an abort runs a debugger
        "OPENBLAS_NUM_THREADS": "1",  # numpy only looks for maxima here
        "HF_HUB_OFFLINE": "1",
    }
