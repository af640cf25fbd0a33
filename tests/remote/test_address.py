"""URLs of servers."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.errors import ConfigError, ModelError
from rlm_local.remote import is_url, look_up, parse_url


def test_what_a_url_says() -> None:
    url = (
        "http://gpu-box:8001/v1?model=Qwen/Qwen3-8B&profile=nano&context_tokens=9000&connections=3"
    )
    address = parse_url(url)
    assert (address.host, address.port, address.secure) == ("gpu-box", 8001, False)
    assert (address.model, address.profile) == ("Qwen/Qwen3-8B", "nano")
    assert (address.context_tokens, address.connections) == (9000, 3)
    assert address.server == "http://gpu-box:8001/v1"
    assert address.root == ""


@pytest.mark.parametrize(
    ("url", "netloc", "path", "root"),
    [
        ("http://box", "box", "/v1", ""),
        ("http://box/", "box", "/v1", ""),
        ("https://box", "box", "/v1", ""),
        ("https://box:443/v1/", "box", "/v1", ""),
        ("http://box:443", "box:443", "/v1", ""),
        ("http://[::1]:8000/llm/v1", "[::1]:8000", "/llm/v1", "/llm"),
        ("http://10.0.0.7:8000/openai", "10.0.0.7:8000", "/openai", "/openai"),
        ("HTTP://Box:8000", "box:8000", "/v1", ""),
    ],
)
def test_where_it_leads(url: str, netloc: str, path: str, root: str) -> None:
    address = parse_url(url)
    assert (address.netloc, address.path, address.root) == (netloc, path, root)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://", "names no server"),
        ("http:///v1", "names no server"),
        ("ftp://box/v1", "names no server"),
        ("http://box:0", "names port 0"),
        ("http://box:99999", "is not one"),
        ("http://box:port", "is not one"),
        ("http://[::1", "is not one"),
        ("http://me@box/v1", "user name or a password"),
        ("http://box/v1#qwen", "#qwen"),
        ("http://box/v 1", "a space"),
        ("http://bóx/v1", "not ASCII"),
        ("http://box/v1\n", "a space or a letter"),
        ("http://box?modell=x", "'modell'"),
        ("http://box?model=", "no value"),
        ("http://box?model=a&model=b", "twice"),
        ("http://box?profile=grand", "'grand'"),
        ("http://box?context_tokens=0", "context_tokens=0"),
        ("http://box?context_tokens=many", "context_tokens=many"),
        ("http://box?connections=257", "up to 256"),
    ],
)
def test_what_is_refused(url: str, complaint: str) -> None:
    assert is_url(url)
    with pytest.raises(ConfigError, match=complaint):
        parse_url(url)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_url("http://me:hunter2@box/v1")
    assert "hunter2" not in str(raised.value) + raised.value.hint


def test_the_limits_of_connections_are_inside() -> None:
    assert parse_url("http://box?connections=1").connections == 1
    assert parse_url("http://box?connections=256").connections == 256


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_mistake(text: str) -> None:
    for url in (text, f"http://{text}", f"http://box?{text}"):
        with contextlib.suppress(ConfigError):
            assert parse_url(url).host


@pytest.mark.parametrize("name", ["rlm-nano", "models/a.gguf", "/a//b.gguf", "C:model", ""])
def test_what_is_no_url(name: str) -> None:
    assert not is_url(name)
    assert not is_url(Path("http://box"))


def test_names_are_looked_up() -> None:
    assert set(look_up("localhost", 80)) & {"127.0.0.1", "::1"}
    assert look_up("127.0.0.1", 80) == ("127.0.0.1",)
    with pytest.raises(ModelError, match=r"nowhere\.invalid cannot be found"):
        look_up("nowhere.invalid", 80)
