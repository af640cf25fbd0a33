"""What a model on a server costs on this side: the client's CPU time for each request and token.

A server in a process of its own streams canned replies as fast as it can, in the form
of vLLM's: what is left is HTTP, events, JSON and our own code. No model computes.

    python -m bench.remote [--requests N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.report import report
from rlm_local.records import Message, Request
from rlm_local.remote.model import RemoteModel

TOKENS = (1, 32, 512)
CONNECTIONS = 16
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400, help="requests of one batch")
    parser.add_argument("--runs", type=int, default=5, help="batches of each kind")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(_serve())
        return
    rows = []
    with (
        _server() as port,
        RemoteModel(f"http://127.0.0.1:{port}?connections={CONNECTIONS}") as model,
    ):
        for tokens in TOKENS:
            count = max(1, given.requests * 32 // max(32, tokens))
            requests = [
                Request(messages=(Message("user", f"Say {n}."),), max_tokens=tokens)
                for n in range(count)
            ]
            walls, cpus = [], []
            for _ in range(given.runs):
                began, cpu = time.perf_counter(), time.process_time()
                done = model.complete(requests, deadline=float("inf"), token_limit=1 << 40)
                walls.append(time.perf_counter() - began)
                cpus.append(time.process_time() - cpu)
                if any(each.completion_tokens != tokens for each in done):
                    raise RuntimeError("the server said something else")
            rows.append(
                {
                    "tokens": tokens,
                    "requests": count,
                    "wall_s_median": statistics.median(walls),
                    "cpu_us_per_request": 1e6 * statistics.median(cpus) / count,
                    "cpu_us_per_token": 1e6 * statistics.median(cpus) / count / tokens,
                }
            )
    report("remote", rows)


@contextmanager
def _server() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.remote", "--serve"], stdout=subprocess.PIPE
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the server has no output")
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def _serve() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ") for line in head.split(b"\r\n")[1:-2])
            body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
            if b"/chat/completions" in head:
                writer.write(_HEAD % b"text/event-stream")
                for event in _events(json.loads(body)["max_tokens"]):
                    writer.write(_chunk(b"data: " + event + b"\n\n"))
                    await writer.drain()
                    await asyncio.sleep(0)
            else:
                writer.write(_HEAD % b"application/json")
                writer.write(_chunk(_page(head)))
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def _page(head: bytes) -> bytes:
    if b"/models" in head:
        entry = {"id": "canned", "owned_by": "vllm", "max_model_len": 8_192}
        return json.dumps({"data": [entry]}).encode()
    return b'{"count": 1}'


def _events(tokens: int) -> Iterator[bytes]:
    common = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1}
    for number in range(1, tokens + 1):
        choice = {"index": 0, "delta": {"content": " word"}, "logprobs": None}
        usage = {"prompt_tokens": 30, "total_tokens": 30 + number, "completion_tokens": number}
        ended = {"finish_reason": "length" if number == tokens else None}
        yield json.dumps({**common, "choices": [{**choice, **ended}], "usage": usage}).encode()
    yield b"[DONE]"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


if __name__ == "__main__":
    main()
