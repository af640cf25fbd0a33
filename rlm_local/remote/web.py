"""HTTP, as far as it is needed: one server, no redirects, no proxy, nothing unbounded.

The only importer of httpx. Whatever that raises comes out as a PassingError (another
attempt may go better), a Refused (the server has answered, and not with success) or a
ModelError.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast

import msgspec

from rlm_local.errors import ConfigError, ModelError
from rlm_local.remote.address import RemoteAddress, look_up
from rlm_local.remote.retry import PassingError

try:
    import httpx
except ImportError as error:
    raise ConfigError(
        "a model on a server needs the package httpx, which is not installed",
        hint="pip install 'rlm-local[remote]'",
    ) from error

KEY_VARIABLE = "RLM_LOCAL_API_KEY"
MOST_BODY_BYTES = 4 << 20
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_SHOWN_CHARS = 300
_CONNECTION_LOST = (
    httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError,
)  # fmt: skip


class Refused(Exception):
    """An answer that is not success. `text` is its body, cut and fit to be shown."""

    def __init__(self, status: int, body: bytes, text: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.text = text


class Web:
    """A client of the server at `address`, for the tasks of one event loop.

    Raises ConfigError for a key that cannot be sent, ModelError for a host without an address.
    """

    def __init__(
        self, address: RemoteAddress, *, connect_seconds: float, silence_seconds: float
    ) -> None:
        self._address = address
        self._places = look_up(address.host, address.port)
        self._silence_seconds = silence_seconds
        self._key = _key()
        headers = {
            "Host": address.netloc,
            "Accept-Encoding": "identity",  # what is small on the wire is small
            "User-Agent": "rlm-local",
        }
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._client = httpx.AsyncClient(
            headers=headers,
            transport=httpx.AsyncHTTPTransport(
                verify=ssl.create_default_context() if address.secure else False,
                trust_env=False,
                limits=httpx.Limits(max_connections=None),
                socket_options=_keep_alive(),
            ),
            timeout=httpx.Timeout(silence_seconds, connect=connect_seconds, pool=None),
            follow_redirects=False,
            trust_env=False,
        )

    async def json(self, method: str, path: str, body: object = None) -> object:
        """The JSON value that the server answers with."""
        async with self._exchange(method, path, body) as response:
            data = await self._whole(response)
        try:
            return msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ModelError(
                f"the server {self._address.server} answered {path} with what is not JSON: "
                f"{self.shown(data)}",
                hint="see that the URL is that of a model's server",
            ) from error

    @asynccontextmanager
    async def stream(
        self, path: str, body: object, *, most_bytes: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Post `body`; within, the pieces of an event stream as they come."""
        async with self._exchange("POST", path, body) as response:
            kind = response.headers.get("content-type", "")
            if not kind.lower().startswith("text/event-stream"):
                data = await self._whole(response)
                raise ModelError(
                    f"the server {self._address.server} answered with {kind or 'no type'!r} and "
                    f"not with a stream of events: {self.shown(data)}",
                    hint="see that the URL is that of a model's server",
                )
            async with aclosing(self._pieces(response, most_bytes)) as pieces:
                yield pieces

    def shown(self, data: bytes) -> str:
        """The beginning of what the server sent, as it may be shown: without the key."""
        text = data[: 4 * _SHOWN_CHARS].decode("utf-8", "replace")
        if self._key:
            text = text.replace(self._key, "…")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"

    async def close(self) -> None:
        await self._client.aclose()

    # ------------------------------------------------------------- one exchange

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, body: object
    ) -> AsyncIterator[httpx.Response]:
        """The response, its body not yet read. Raises PassingError, Refused, ModelError."""
        response = await self._sent(method, path, body)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ModelError(
                    f"the server {self._address.server} compresses its answers, unasked",
                    hint="turn that off, there or in what stands before it",
                )
            if response.is_success:
                yield response
                return
            raise await self._refusal(response)
        finally:
            await response.aclose()

    async def _sent(self, method: str, path: str, body: object) -> httpx.Response:
        # In ASCII: a schema may hold what UTF-8 cannot carry, or numbers of any size.
        content = None if body is None else json.dumps(body).encode("ascii")
        places = self._places  # requests side by side find out the same
        for at, place in enumerate(places):
            request = self._client.build_request(
                method,
                httpx.URL(
                    scheme="https" if self._address.secure else "http",
                    host=place,
                    port=self._address.port,
                    path=path,
                ),
                content=content,
                headers={"Content-Type": "application/json"} if content is not None else None,
                extensions={"sni_hostname": self._address.host},
            )
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                unreached = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if unreached and at + 1 < len(places):
                    continue  # a name may have addresses at which nobody listens
                raise self._translated(error) from error
            # The one that answers is asked first from now on.
            self._places = (*places[at:], *places[:at])
            return response
        raise ModelError(f"the server {self._address.host} has no address")

    async def _refusal(self, response: httpx.Response) -> PassingError | Refused | ModelError:
        status = response.status_code
        if response.is_redirect:
            return ModelError(
                f"the server {self._address.server} sends us elsewhere, to "
                f"{self.shown(response.headers.get('location', '').encode())}",
                hint="if that is the model's server, give its URL",
            )
        data = await self._whole(response)
        if status in _PASSING:
            return PassingError(
                f"it answered {status} {self.shown(data)}".rstrip(), wait=_wait_asked_for(response)
            )
        return Refused(status, data, self.shown(data))

    async def _whole(self, response: httpx.Response) -> bytes:
        async with aclosing(self._pieces(response, MOST_BODY_BYTES)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def _pieces(
        self, response: httpx.Response, most_bytes: int
    ) -> AsyncGenerator[bytes, None]:
        size = 0
        try:
            raw = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
            async with aclosing(raw):
                async for piece in raw:
                    size += len(piece)
                    if size > most_bytes:
                        raise ModelError(
                            f"the server {self._address.server} sent more than {most_bytes:,} "
                            "bytes where far fewer were to be expected",
                            hint="see that the URL is that of a model's server",
                        )
                    yield piece
        except httpx.HTTPError as error:
            raise self._translated(error) from error

    def _translated(self, error: httpx.HTTPError | httpx.InvalidURL) -> PassingError | ModelError:
        server = self._address.server
        if isinstance(tls := _root_cause(error), ssl.SSLCertVerificationError):
            return ModelError(
                f"the certificate of {server} is not trusted: {tls.verify_message}",
                hint="name the file of the authority that made it in SSL_CERT_FILE",
            )
        match error:
            case httpx.ConnectError() | httpx.ConnectTimeout():
                return PassingError(f"no connection: {_why(error)}")
            case httpx.ReadTimeout() | httpx.WriteTimeout():
                return ModelError(
                    f"the server {server} was silent for {self._silence_seconds:g} s",
                    hint="see whether it still works; `rlm-local runs resume` goes on then",
                )
            case _ if isinstance(error, _CONNECTION_LOST):
                return PassingError(f"the connection was lost: {_why(error)}")
            case _:
                return ModelError(f"the server {server} cannot be asked: {_why(error)}")


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"{KEY_VARIABLE} holds a space or a letter that no key has",
            hint="set it to the key alone, without a line break",
        )
    return key


def _keep_alive() -> list[tuple[int, int, int]]:
    """So that the kernel finds out, within about a minute, that a machine is gone."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def _wait_asked_for(response: httpx.Response) -> float | None:
    """The seconds of Retry-After, which is a number or a date."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _root_cause(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _why(error: Exception) -> str:
    cause = _root_cause(error)
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno).lower()
    return str(error) or type(error).__name__
