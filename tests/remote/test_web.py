"""HTTP: what is sent along, what is not followed, and every error translated."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from rlm_local.errors import ConfigError, ModelError
from rlm_local.remote import parse_url
from rlm_local.remote.model import RemoteModel
from rlm_local.remote.retry import PassingError
from rlm_local.remote.web import Web
from tests.remote.conftest import HASTY, Serve
from tests.remote.fake import Fake, Handler, says, status
from tests.remote.test_model import ask, request

KEY = "sk-secret-0123456789"


# ------------------------------------------------------------------------------ the key


def test_the_key_is_sent_and_never_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    _, open_one = serve(says("x"), "vllm")
    assert "Authorization" not in open_one.seen[0][1]

    def echoes(handler: Handler) -> None:
        status(400, {"error": {"message": f"Bad {handler.headers['Authorization']}"}})(handler)

    monkeypatch.setenv("RLM_LOCAL_API_KEY", KEY)
    with Fake(echoes).running() as fake, RemoteModel(fake.url(), options=HASTY) as model:
        assert fake.seen[0][1]["Authorization"] == f"Bearer {KEY}"
        with pytest.raises(ModelError, match="Bad Bearer …") as raised:
            ask(model, request())
        assert KEY not in str(raised.value) + raised.value.hint + repr(model.info)


@pytest.mark.parametrize("key", ["a b", "a\nb", "clé"])
def test_a_key_that_cannot_be_sent(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_LOCAL_API_KEY", key)
    with Fake(says("x")).running() as fake:
        with pytest.raises(ConfigError, match="RLM_LOCAL_API_KEY") as raised:
            RemoteModel(fake.url())
        assert key not in str(raised.value)


def test_a_key_that_is_missing(serve: Serve) -> None:
    with Fake(says("x")).running() as fake:
        fake.pages["/v1/models"] = status(401, {"detail": "Invalid API key"})
        with pytest.raises(ModelError, match=r"refused \(401\)") as raised:
            RemoteModel(fake.url())
        assert "RLM_LOCAL_API_KEY" in raised.value.hint


# --------------------------------------------------------------------- where it leads


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirects_are_not_followed(serve: Serve, code: int) -> None:
    with Fake(says("never")).running() as other:
        model, fake = serve(status(code, {}, Location=other.url("")), "vllm")
        with pytest.raises(ModelError, match="sends us elsewhere, to http://127"):
            ask(model, request())
        assert other.seen == []
        assert len(fake.chats) == 1


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Fake(says("never")).running() as proxy, Fake(says("x")).running() as fake:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with RemoteModel(fake.url()) as model:
            assert ask(model, request()) == [("x", "stop")]
        assert proxy.seen == []


def test_a_name_with_an_address_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `localhost` often has one for IPv6."""
    monkeypatch.setattr(
        "rlm_local.remote.web.look_up", lambda host, port: ("127.0.0.2", "127.0.0.1")
    )
    with Fake(says("x")).running() as fake:
        url = f"http://gpu-box:{fake.port}/v1?context_tokens=500"
        with RemoteModel(url, options=HASTY) as model:
            assert ask(model, request()) == [("x", "stop")]
        assert fake.seen[-1][1]["Host"] == f"gpu-box:{fake.port}"


def test_an_address_where_nobody_listens_any_more_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many requests side by side find that out."""
    monkeypatch.setattr(
        "rlm_local.remote.web.look_up", lambda host, port: ("127.0.0.2", "127.0.0.1")
    )
    asked: list[str] = []

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.url.host)
            await asyncio.sleep(0)
            if request.url.host == "127.0.0.2":
                raise httpx.ConnectTimeout("nobody listens")
            return httpx.Response(200, stream=httpx.ByteStream(b"1"))

    async def main() -> None:
        web = Web(parse_url("http://gpu-box"), connect_seconds=1, silence_seconds=1)
        await web._client.aclose()
        web._client = httpx.AsyncClient(transport=Transport())
        await asyncio.gather(*[web.json("GET", "/") for _ in range(2)])
        asked.clear()
        await web.json("GET", "/")
        await web.close()

    asyncio.run(main())
    assert asked == ["127.0.0.1"]


def test_a_path_above_the_api(serve: Serve) -> None:
    with Fake(says("x"), "vllm").running() as fake:
        fake.pages["/box/v1/models"] = fake.pages.pop("/v1/models")
        for path in list(fake.posts):
            fake.posts[f"/box{path}"] = fake.posts.pop(path)
        with RemoteModel(f"http://127.0.0.1:{fake.port}/box/v1") as model:
            assert model.count_tokens("one two") == 2
            assert ask(model, request()) == [("x", "stop")]


def test_compressed_answers_are_refused() -> None:
    """A few kilobytes of them can be gigabytes."""
    with Fake(says("x")).running() as fake:
        fake.pages["/v1/models"] = status(200, b"\x1f\x8b", Content_Encoding="gzip")
        with pytest.raises(ModelError, match="compresses its answers"):
            RemoteModel(fake.url())
        assert fake.seen[0][1]["Accept-Encoding"] == "identity"


# ------------------------------------------------------------------------- certificates


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl")
    made, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", key, "-out", made, "-subj", "/CN=test", "-addext",
         "subjectAltName=IP:127.0.0.1,DNS:gpu-box"],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text(made.read_text() + key.read_text())
    return made


@pytest.fixture
def secure(certificate: Path) -> Fake:
    fake = Fake(says("x"), "vllm")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    http = fake._http
    http.socket = context.wrap_socket(http.socket, server_side=True)
    return fake


def test_a_certificate_that_nobody_vouches_for(secure: Fake) -> None:
    with secure.running():
        with pytest.raises(ModelError, match=r"is not trusted: self.signed") as raised:
            RemoteModel(secure.url("").replace("http:", "https:"), options=HASTY)
        assert "SSL_CERT_FILE" in raised.value.hint


def test_a_certificate_that_is_vouched_for(
    secure: Fake, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr("rlm_local.remote.web.look_up", lambda host, port: ("127.0.0.1",))
    with secure.running():
        for host in ("127.0.0.1", "gpu-box"):
            with RemoteModel(f"https://{host}:{secure.port}/v1", options=HASTY) as model:
                assert ask(model, request()) == [("x", "stop")]
        with pytest.raises(ModelError, match="is not trusted: Hostname mismatch"):
            RemoteModel(f"https://other-box:{secure.port}/v1", options=HASTY)


def test_no_tls_where_it_is_asked_for() -> None:
    with Fake(says("x")).running() as fake, pytest.raises(ModelError, match="no connection"):
        RemoteModel(fake.url("").replace("http:", "https:"), options=HASTY)


# ------------------------------------------------------------------------------ errors


def _subclasses(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _subclasses(below))]


@pytest.mark.parametrize("kind", [*_subclasses(httpx.HTTPError), httpx.InvalidURL])
def test_every_error_is_translated(kind: type[Exception]) -> None:
    class Failing(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if issubclass(kind, httpx.HTTPStatusError):
                raise httpx.HTTPStatusError("x", request=request, response=httpx.Response(500))
            raise kind("it failed")

    async def main() -> None:
        web = Web(parse_url("http://127.0.0.1:9"), connect_seconds=1, silence_seconds=1)
        await web._client.aclose()
        web._client = httpx.AsyncClient(transport=Failing())
        try:
            await web.json("GET", "/v1/models")
        finally:
            await web.close()

    with pytest.raises((PassingError, ModelError), match=r"\w"):
        asyncio.run(main())


def test_without_httpx_one_is_told_what_to_install() -> None:
    """And everything that needs no server goes on working."""
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "from rlm_local import runtime, wall\n"
        "from rlm_local.errors import ConfigError\n"
        "try: runtime.load_model('http://127.0.0.1:9', memory_bytes=1)\n"
        "except ConfigError as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "pip install 'rlm-local[remote]'\n", done.stderr


def test_a_run_without_a_server_loads_no_client() -> None:
    code = (
        "import sys, rlm_local.runtime, rlm_local.wall, rlm_local.cli\n"
        "print([name for name in ('httpx', 'asyncio', 'ssl') if name in sys.modules])\n"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert "httpx" not in done.stdout, done.stderr
