"""llama.cpp's own programs at work, with the settings that the engine has (see `rivals_build`)."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bench.rivals import Measured, cpu_seconds
from bench.rivals_build import Rivals
from rlm_local.closing import Closing

_START_SECONDS = 120.0
_TRIES = 5  # it may end before its last line is written


class Settings(NamedTuple):
    """What both sides compute with."""

    model: Path
    cells: int
    threads: int
    flash: bool
    batch_tokens: int = 512

    def arguments(self) -> list[str]:
        return [
            *("--model", str(self.model), "--ctx-size", str(self.cells)),
            *("--threads", str(self.threads), "--threads-batch", str(self.threads)),
            *("--batch-size", str(self.batch_tokens), "--ubatch-size", str(self.batch_tokens)),
            *("--flash-attn", "on" if self.flash else "off", "--kv-unified", "--fit", "off"),
        ]


def batched_bench(
    rivals: Rivals, settings: Settings, *, sequences: int, prefix: int, steps: int
) -> Measured:
    """`steps` tokens for each of `sequences` behind a shared prefix: generation alone.

    CPU seconds are those of a run with all steps, less those of a run with one.
    """
    all_steps, one = (
        _batched_bench(rivals, settings, sequences=sequences, prefix=prefix, steps=count)
        for count in (steps, 1)
    )
    return Measured(
        all_steps.wall,
        max(1e-9, all_steps.cpu - one.cpu) * steps / (steps - 1),
        sequences * steps,
    )


def _batched_bench(
    rivals: Rivals, settings: Settings, *, sequences: int, prefix: int, steps: int
) -> Measured:
    command = [
        *(str(rivals.batched_bench), *settings.arguments(), "-pps", "--output-format", "jsonl"),
        *("-npp", str(prefix), "-ntg", str(steps), "-npl", str(sequences)),
    ]
    for _ in range(_TRIES):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            written = process.stdout.read() if process.stdout else b""
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            break
        for line in written.splitlines():
            if line.startswith(b"{"):
                seconds = json.loads(line)["t_tg"]
                return Measured(seconds, usage.ru_utime + usage.ru_stime, sequences * steps)
    raise RuntimeError(f"llama-batched-bench wrote no figures (code {process.returncode})")


class Server(Closing):
    """`llama-server` with `slots` places. Use it as a context manager.

    It keeps its slots' cells between requests: by default it puts those of idle ones
    away, and was slower so.
    """

    def __init__(self, rivals: Rivals, settings: Settings, *, slots: int) -> None:
        self._slots = slots
        self._port = _free_port()
        self._process = subprocess.Popen(
            [
                *(str(rivals.server), *settings.arguments(), "--parallel", str(slots)),
                *("--host", "127.0.0.1", "--port", str(self._port), "--no-ui", "--offline"),
                *("--no-cache-idle-slots", "--cache-ram", "0"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def run(self, conversations: Sequence[Sequence[tuple[str, str]]], *, new: int) -> Measured:
        """A reply of up to `new` tokens to each, all asked for at once."""
        bodies = [
            json.dumps(
                {
                    "messages": [{"role": role, "content": text} for role, text in messages],
                    "max_tokens": new,
                    "temperature": 0.0,
                    "cache_prompt": True,
                }
            )
            for messages in conversations
        ]
        with ThreadPoolExecutor(len(bodies)) as pool:
            cpu, began = cpu_seconds(self._process.pid), time.perf_counter()
            made = sum(pool.map(self._complete, bodies))
            wall = time.perf_counter() - began
        return Measured(wall, cpu_seconds(self._process.pid) - cpu, made)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _complete(self, body: str) -> int:
        answer = self._ask("POST", "/v1/chat/completions", body)
        return int(json.loads(answer)["usage"]["completion_tokens"])

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=3_600)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"llama-server answered {response.status}: {answer[:200]!r}")
        return answer

    def _wait(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            try:
                self._ask("GET", "/health")
            except (OSError, RuntimeError):
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"llama-server did not start (code {self._process.poll()})")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
