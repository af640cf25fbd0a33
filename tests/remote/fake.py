"""A server of our own that says and does, well or badly, what a test tells it to."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: How one request of a chat is answered; the handler has the request in `body`.
Answer = Callable[["Handler"], None]
#: Bytes: less than what is read of a short reply before it is taken for endless.
_MORE_THAN_BUFFERED = 1_000_000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Http
    body: dict[str, Any]

    def setup(self) -> None:
        super().setup()
        self.server.fake.connections.append(self.connection)

    def do_GET(self) -> None:
        self._answer(self.server.fake.pages)

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(self.server.fake.posts)

    def _answer(self, pages: dict[str, Answer]) -> None:
        self.server.fake.seen.append((self.path, dict(self.headers)))
        answer = pages.get(self.path)
        try:
            if answer is None:
                status(404, {"error": {"message": "no such page"}})(self)
            else:
                answer(self)
        except OSError:  # whoever asked has gone
            self.server.fake.gone.release()
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    # ------------------------------------------------------------- what answers do

    def head(self, kind: str = "text/event-stream") -> None:
        """Begin an answer that ends with its connection."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, value: object) -> None:
        self.write(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode())

    def write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def wait_for_hangup(self) -> None:
        """Until the other side closes the connection."""
        self.connection.settimeout(30)
        while self.connection.recv(1 << 16):
            pass
        raise ConnectionResetError


class Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    fake: Fake


class Fake:
    """`chats` keeps the bodies of what was asked; `gone` is released for each who hung up;
    `taken` is set by `stalls_once_taken`."""

    def __init__(self, answers: Answer | Sequence[Answer], kind: str = "") -> None:
        self.chats: list[dict[str, Any]] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.gone = threading.Semaphore(0)
        self.taken = threading.Event()
        self.connections: list[socket.socket] = []
        self._answers = answers if callable(answers) else iter(answers)
        self._lock = threading.Lock()
        self.at_work = 0
        self.most_at_work = 0
        entry: dict[str, object] = {"id": "served"}
        self.posts: dict[str, Answer] = {"/v1/chat/completions": self._chat}
        match kind:
            case "vllm":
                entry |= {"owned_by": "vllm", "max_model_len": 1_000}
                self.posts["/tokenize"] = lambda handler: page(
                    {"count": len(handler.body["prompt"].split()), "max_model_len": 1_000}
                )(handler)
            case "llama.cpp":
                entry |= {"owned_by": "llamacpp", "meta": {"n_ctx": 1_000, "n_params": 7}}
                self.posts["/tokenize"] = lambda handler: page(
                    {"tokens": list(range(len(handler.body["content"].split())))}
                )(handler)
            case "llama-cpp-python":
                entry |= {"owned_by": "me"}
                self.posts["/extras/tokenize/count"] = lambda handler: page(
                    {"count": len(handler.body["input"].split())}
                )(handler)
        self.pages: dict[str, Answer] = {"/v1/models": page({"data": [entry]})}
        self._http = Http(("127.0.0.1", 0), Handler)
        self._http.fake = self

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    def url(self, query: str = "context_tokens=1000") -> str:
        return f"http://127.0.0.1:{self.port}/v1" + (f"?{query}" if query else "")

    @contextmanager
    def running(self) -> Iterator[Fake]:
        thread = threading.Thread(target=self._http.serve_forever, args=[0.01], daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()
            for connection in self.connections:
                with suppress(OSError):  # closed already
                    connection.shutdown(socket.SHUT_RDWR)

    def _chat(self, handler: Handler) -> None:
        # Who has a reply to its end may ask again before the handler of that one has returned.
        time.sleep(0.02)
        with self._lock:
            self.chats.append(handler.body)
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            answer = self._answers if callable(self._answers) else next(self._answers)
        try:
            answer(handler)
        finally:
            with self._lock:
                self.at_work -= 1


# ---------------------------------------------------------------------- answers


def delta(text: str, **others: object) -> dict[str, object]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": None}], **others}


def usage(prompt: int, completion: int, cached: int | None = None) -> dict[str, object]:
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"prompt_tokens": prompt, "completion_tokens": completion, **details}


def says(
    *pieces: str, finish: str | None = "stop", used: dict[str, object] | None = None
) -> Answer:
    """A reply in pieces, as it should be."""

    def answer(handler: Handler) -> None:
        handler.head()
        handler.event({"choices": [{"delta": {"role": "assistant"}, "finish_reason": None}]})
        for piece in pieces:
            handler.event(delta(piece))
        if finish is not None:
            handler.event({"choices": [{"delta": {}, "finish_reason": finish}]})
        if used is not None:
            handler.event({"choices": [], "usage": used})
        handler.event("[DONE]")

    return answer


def page(value: object) -> Answer:
    return status(200, value)


def status(code: int, value: object, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        for name, text in headers.items():
            handler.send_header(name.replace("_", "-"), text)
        handler.end_headers()
        handler.write(data)

    return answer


def hangs_up(handler: Handler) -> None:
    """Not a word."""
    handler.close_connection = True


def stalls(*pieces: str) -> Answer:
    """Some words, then nothing, for as long as somebody listens."""

    def answer(handler: Handler) -> None:
        handler.head()
        for piece in pieces:
            handler.event(delta(piece))
        handler.wait_for_hangup()

    return answer


def stalls_once_taken(*pieces: str) -> Answer:
    """As `stalls`, and says when the words have been read, not only sent: by then so much has
    been taken that came behind them that no buffer on the way can hold it."""

    def answer(handler: Handler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        handler.head()
        for piece in pieces:
            handler.event(delta(piece))
        for _ in range(_MORE_THAN_BUFFERED // 10_000):
            handler.write(b":" + b" " * 9_997 + b"\n\n")
        handler.server.fake.taken.set()
        handler.wait_for_hangup()

    return answer


def drips(handler: Handler) -> None:
    """A word now and then, without end."""
    handler.head()
    while True:
        handler.event(delta("drop "))
        time.sleep(0.02)


def breaks(*pieces: str) -> Answer:
    """Some words, then the end of the connection."""

    def answer(handler: Handler) -> None:
        handler.head()
        for piece in pieces:
            handler.event(delta(piece))

    return answer


def sends(*data: bytes, kind: str = "text/event-stream", forever: bool = False) -> Answer:
    """Bytes as they are; the last of them again and again if `forever`."""

    def answer(handler: Handler) -> None:
        handler.head(kind)
        for piece in data:
            handler.write(piece)
        while forever:
            handler.write(data[-1])

    return answer
