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

from rlm_local.errors import WorkerDied
from rlm_local.limits import MIB
from rlm_local.llama import protocol
from rlm_local.llama.protocol import Command, Reply

_KEPT_LINES = 40
_SHOWN_LINES = 8
_LINE_CHARS = 300
_EXIT_SECONDS = 2.0
_HEADROOM_BYTES = 512 * MIB  # above the plan, where the operating system stops the worker
# What llama.cpp writes when all is well.
_ROUTINE = re.compile(r"(llama_model_loader: - |print_info: |load: |llama_kv_cache: |\.+$)")


class WorkerProcess:
    """One worker. `send` may be called from any thread, `receive` from one at a time.

    `death`: how it ended, once that has been noticed.
    """

    def __init__(self, *, memory_bytes: int) -> None:
        command_read, self._commands = os.pipe()
        self._replies, reply_write = os.pipe()
        self._write_lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._received: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
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
        self._threads = [
            threading.Thread(target=self._read_replies, name="worker-replies", daemon=True),
            threading.Thread(target=self._read_errors, name="worker-errors", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, command: Command) -> None:
        """Raises WorkerDied."""
        with self._write_lock:
            whole = False
            try:
                if self._commands >= 0:
                    protocol.send(self._commands, command)
                    whole = True
            except protocol.Closed:
                pass
            finally:
                if not whole:  # half a command, when this thread is interrupted, or none
                    self._process.kill()
        if not whole:
            raise self._died()

    def receive(self, *, until: float) -> Reply:
        """The next reply. A worker that is silent until then is killed. Raises WorkerDied."""
        left = until - time.monotonic()
        try:
            # A thread cannot wait longer than TIMEOUT_MAX: an endless deadline means that.
            reply = self._received.get(timeout=max(0.0, min(left, threading.TIMEOUT_MAX)))
        except queue.Empty:
            self._process.kill()
            self._process.wait()
            self.death = WorkerDied(
                "the model's process did not answer in time and was stopped",
                hint="try again; a smaller model answers faster",
            )
            raise self.death from None
        if reply is None:
            self._received.put(None)  # for whoever asks next
            raise self._died()
        return reply

    def close(self) -> None:
        """End the process and wait for it. Closing twice is harmless."""
        with self._write_lock:
            if self._commands < 0:
                return
            os.close(self._commands)  # the worker takes it for the order to end
            self._commands = -1
        self._wait()
        for thread in self._threads:
            thread.join()
        os.close(self._replies)

    def with_last_words(self, message: str) -> str:
        """`message`, and what the process wrote last."""
        lines = [line for line in self._lines if not _ROUTINE.match(line)]
        shown = "\n".join(f"  {line}" for line in lines[-_SHOWN_LINES:])
        return f"{message}; it last wrote:\n{shown}" if shown else message

    def _wait(self) -> int:
        """Its exit code, once it is gone: soon, by its own will or not."""
        try:
            return self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _died(self) -> WorkerDied:
        """How it ended, in its own last words."""
        if self.death is None:
            code = self._wait()
            self._threads[1].join(_EXIT_SECONDS)
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            self.death = WorkerDied(
                self.with_last_words(f"the model's process died ({how})"),
                hint="if memory is short, lower context_tokens or take a smaller model",
            )
        return self.death

    def _read_replies(self) -> None:
        """In a thread, so that an interrupt cannot cut a reply in two."""
        try:
            while True:
                self._received.put(protocol.receive_reply(self._replies))
        except protocol.Closed:
            self._received.put(None)

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


def _environment() -> dict[str, str]:
    """Ours, with the same import path and what keeps llama.cpp modest and offline."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_WAIT_POLICY": "passive",  # else threads that wait for each other burn a core
        "GGML_NO_BACKTRACE": "1",  # else an abort runs a debugger
        "OPENBLAS_NUM_THREADS": "1",  # numpy only looks for maxima here
        "HF_HUB_OFFLINE": "1",
    }
