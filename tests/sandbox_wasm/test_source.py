"""Where the recipe gets CPython's source from, and that it is the right one."""

from __future__ import annotations

import hashlib
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox_wasm.conftest import SANDBOX

sys.path.insert(0, str(SANDBOX))

from recipe import source
from recipe.errors import BuildError

TARBALL = b"the tarball's bytes " * 5000


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """TARBALL is what the recipe wants, and no fetch leaves the machine."""
    monkeypatch.setattr(source, "SHA256", hashlib.sha256(TARBALL).hexdigest())

    def refuse(target: Path) -> None:
        raise BuildError("not in this test")

    monkeypatch.setattr(source, "_from_python_org", refuse)
    monkeypatch.setattr(source, "_from_debian", refuse)


@pytest.mark.usefixtures("pinned")
class TestTarball:
    def test_a_named_file_is_used_as_it_lies(self, tmp_path: Path) -> None:
        named = tmp_path / "mine.tar.xz"
        named.write_bytes(TARBALL)
        assert source.tarball(tmp_path, named) == named

    def test_a_named_file_with_another_digest_is_refused(self, tmp_path: Path) -> None:
        named = tmp_path / "mine.tar.xz"
        named.write_bytes(TARBALL + b"!")
        with pytest.raises(BuildError, match="SHA-256"):
            source.tarball(tmp_path, named)

    def test_a_named_file_that_is_missing_is_not_fetched(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="there is no file"):
            source.tarball(tmp_path, tmp_path / "mine.tar.xz")

    def test_the_cache_comes_before_the_network(self, tmp_path: Path) -> None:
        (tmp_path / source.NAME).write_bytes(TARBALL)
        assert source.tarball(tmp_path, None) == tmp_path / source.NAME

    def test_a_damaged_file_in_the_cache_is_fetched_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / source.NAME).write_bytes(TARBALL[:-1])
        monkeypatch.setattr(source, "_from_debian", lambda target: target.write_bytes(TARBALL))
        assert source.tarball(tmp_path, None).read_bytes() == TARBALL

    def test_when_nobody_has_it_all_reasons_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(
            BuildError, match=r"python\.org: not in this test; Debian: not"
        ) as caught:
            source.tarball(tmp_path, None)
        assert "RLM_LOCAL_CPYTHON_SOURCE" in caught.value.hint


class Server(http.server.BaseHTTPRequestHandler):
    """Serves TARBALL; `cut` bytes at most in a reply, then the connection breaks."""

    cut = len(TARBALL)
    ranges: list[str | None]

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(TARBALL):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(TARBALL) - start))
        self.end_headers()
        self.wfile.write(TARBALL[start : start + self.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    handler = type("Handler", (Server,), {"ranges": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        monkeypatch.setattr(source, "URL", f"http://127.0.0.1:{serving.server_port}/x")
        monkeypatch.setattr(source, "SHA256", hashlib.sha256(TARBALL).hexdigest())
        yield handler
        serving.shutdown()
        thread.join()


class TestDownload:
    def test_a_broken_download_is_gone_on_with(self, server: type[Server], tmp_path: Path) -> None:
        server.cut = 30_000
        target = tmp_path / source.NAME
        for _ in range(3):
            with pytest.raises(BuildError, match="broke after"):
                source._from_python_org(target)
        assert not target.exists()
        source._from_python_org(target)
        assert target.read_bytes() == TARBALL
        assert server.ranges == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]
        assert list(tmp_path.iterdir()) == [target]

    def test_a_part_of_another_file_is_thrown_away(
        self, server: type[Server], tmp_path: Path
    ) -> None:
        target = tmp_path / source.NAME
        part = tmp_path / f"{source.NAME}.part"
        part.write_bytes(b"x" * 50)
        with pytest.raises(BuildError, match="SHA-256"):
            source._from_python_org(target)
        part.write_bytes(b"x" * len(TARBALL))
        with pytest.raises(BuildError, match="416"):
            source._from_python_org(target)
        source._from_python_org(target)
        assert target.read_bytes() == TARBALL

    def test_no_network_is_told_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(source, "URL", "http://127.0.0.1:9/x")
        with pytest.raises(BuildError, match="cannot be reached"):
            source._from_python_org(tmp_path / source.NAME)


class TestDebianArchive:
    def etc(self, tmp_path: Path, **files: str) -> Path:
        parts = tmp_path / "sources.list.d"
        parts.mkdir()
        for name, text in files.items():
            path = tmp_path / name if name == "sources.list" else parts / name
            path.write_text(text)
        return tmp_path

    @pytest.mark.parametrize(
        "line",
        [
            "deb http://mirror.example/debian bookworm main",
            "deb-src http://mirror.example/debian bookworm main contrib # and more",
            "# a comment\n\ndeb [signed-by=/k arch=amd64] http://mirror.example/debian sid main",
            "deb http://security.example/debian-security bookworm-security main\n"
            "deb http://mirror.example/debian/ bookworm-updates main\n"
            "deb http://mirror.example/debian bookworm main",
        ],
    )
    def test_in_one_line_form(self, tmp_path: Path, line: str) -> None:
        etc = self.etc(tmp_path, **{"sources.list": line})
        assert source.debian_archive(etc) == "http://mirror.example/debian"

    def test_in_deb822_form(self, tmp_path: Path) -> None:
        text = """\
# The suites of this machine
Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Types: deb deb-src
URIs: http://one.example/ubuntu
  http://mirror.example/debian
Suites: bookworm
 bookworm-updates
# a comment inside
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
"""
        etc = self.etc(tmp_path, **{"debian.sources": text})
        assert source.debian_archive(etc) == "http://mirror.example/debian"

    def test_other_archives_are_not_taken_for_it(self, tmp_path: Path) -> None:
        etc = self.etc(
            tmp_path,
            **{
                "node.list": "deb https://other.example/node_20.x nodistro main",
                "tool.sources": "Types: deb\nURIs: https://other.example/apt\nSuites: stable/\n",
            },
        )
        with pytest.raises(BuildError, match="no Debian archive"):
            source.debian_archive(etc)

    def test_a_machine_without_apt(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(BuildError, match="no apt-get"):
            source._from_debian(tmp_path / source.NAME)
