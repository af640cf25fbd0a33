"""A run that asks a server may connect to its port, and the rest of the wall stands."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rlm_local import wall
from rlm_local.remote import look_up
from tests.confine.runner import offered, tried

pytestmark = pytest.mark.skipif(offered() < 6, reason="needs Linux with Landlock 6")


def connections(folder: Path, *, walled: bool) -> dict[str, Any]:
    (folder / "file").write_text("secret")
    with ExitStack() as stack:
        here = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = here.getsockname()[1]
        stack.enter_context(socket.create_server(("127.0.0.2", port)))
        other = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        datagrams = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        path = folder / "datagrams"
        datagrams.bind(str(path))
        listeners = (port, other.getsockname()[1], path)
        return tried("tests.confine.connections", *listeners, folder, walled=walled)


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return connections(tmp_path_factory.mktemp("walled"), walled=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return connections(tmp_path_factory.mktemp("bare"), walled=False)


#: What the machine may refuse anyone.
NOT_EVERYWHERE = {
    "opens a netlink socket", "opens an MPTCP socket", "opens a vsock", "opens a raw socket",
    "connects by sending", "connects by sending a message", "connects with data to come",
}  # fmt: skip


def test_everything_else_is_refused(walled: dict[str, Any]) -> None:
    assert walled["wall"].startswith("Landlock ")
    assert {name for name, got in walled["refused"].items() if got == "done"} == set()


def test_without_the_wall_it_is_not(bare: dict[str, Any]) -> None:
    failed = {name for name, got in bare["refused"].items() if got != "done"}
    assert failed <= NOT_EVERYWHERE


def test_the_port_can_be_reached(walled: dict[str, Any], bare: dict[str, Any]) -> None:
    for found in (walled, bare):
        assert {name: got for name, got in found["allowed"].items() if got != "done"} == {}


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("models", "ports", "certificates"),
    [
        (["http://127.0.0.1:8123/v1"], {8123}, False),
        (["https://127.0.0.1"], {443}, True),
        (["rlm-nano", "http://127.0.0.1:8123/v1"], {8123}, False),
        (["https://127.0.0.1:1", "http://127.0.0.1:2"], {1, 2}, True),
        (["http://nowhere.invalid:8123/v1"], set(), False),
        (["http://me:x@127.0.0.1:8123/v1"], set(), False),
        (["rlm-nano"], set(), False),
        (["/models/http:/a.gguf"], set(), False),
        ([], set(), False),
    ],
)
def test_what_a_model_is_let_through(
    models: list[str], ports: set[int], certificates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(wall, "confine_process", lambda **arguments: asked.update(arguments))
    wall.put_up([], models=models)
    assert asked["ports"] == ports
    known = {Path(path) for path in ssl.get_default_verify_paths()[:2] if path}
    assert bool(known & set(asked["readable"])) == (certificates and bool(known))


def test_models_may_be_given_one_by_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(wall, "confine_process", lambda **arguments: asked.update(arguments))
    model = tmp_path / "a.gguf"
    model.touch()
    wall.put_up([], models=iter([str(model), "http://127.0.0.1:8123/v1"]))
    assert asked["ports"] == {8123}
    assert model in asked["readable"]


def test_a_name_is_looked_up_before_the_wall_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not again after it, when it could not be."""
    looked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **named: Any) -> Any:
        looked.append(host)
        return real("127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(wall, "confine_process", lambda **_: looked.append("wall"))
    wall.put_up([], models=["http://gpu-box:8123/v1"])
    assert look_up("gpu-box", 8123) == ("127.0.0.1",)
    assert looked == ["gpu-box", "wall"]
