"""What a URL says: which server, which of its models, and how to use it.

    http://gpu-box:8000/v1?model=qwen3-32b&connections=16

Before the `?` stands the server, its path as OpenAI's clients want it (`/v1` if it
is left out). Behind it, each at most once:

    model           the model's name there; needed if the server has more than one
    profile         the kind of prompts it gets, if its name does not tell
    context_tokens  its window, if the server does not tell
    connections     sub-calls under way at once, and turns of dialogues beside them

This is plain text: no library for HTTP is needed to read it.
"""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from rlm_local.dialogue import PROFILES
from rlm_local.errors import ConfigError, ModelError
from rlm_local.records import Record

CONNECTIONS = 8
MOST_CONNECTIONS = 256
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_KEYS = ("model", "profile", "context_tokens", "connections")


class RemoteAddress(Record, frozen=True):
    """A server and how to use it. `path` has no slash at its end; `host` is not in brackets.

    `model` and `profile` are '' and `context_tokens` is None where the URL is silent.
    """

    url: str
    secure: bool
    host: str
    port: int
    path: str
    model: str = ""
    profile: str = ""
    context_tokens: int | None = None
    connections: int = CONNECTIONS

    @property
    def netloc(self) -> str:
        """Host and port as in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _PORTS["https" if self.secure else "http"]
        return host if usual else f"{host}:{self.port}"

    @property
    def server(self) -> str:
        """The server alone, to name it in a sentence."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}{self.path}"

    @property
    def root(self) -> str:
        """The path above `/v1`, where servers have what OpenAI's API lacks."""
        return self.path.removesuffix("/v1")


def is_url(name: str | Path) -> bool:
    """Whether a model's name is meant as a URL, be it a usable one or not."""
    return isinstance(name, str) and _URL.match(name) is not None


def parse_url(url: str) -> RemoteAddress:
    """Raises ConfigError, which does not repeat a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"the model's URL is not one: {error}") from error
    # The figures of an address are all that a request line should hold.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(
            "the model's URL holds a space or a letter that is not ASCII",
            hint="write it as %20 and the like",
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "the model's URL holds a user name or a password, which would end up in records",
            hint="put a key into the variable RLM_LOCAL_API_KEY",
        )
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigError(
            f"the model's URL {url!r} names no server that can be asked",
            hint="it looks like http://host:8000/v1, or https://…",
        )
    if port == 0:
        raise ConfigError(
            f"the model's URL {url!r} names port 0, on which no server listens",
            hint="leave the port out for the usual one",
        )
    if parts.fragment:
        raise ConfigError(
            f"the model's URL ends in #{parts.fragment}", hint=f"write ?model={parts.fragment}"
        )
    asked = _asked(parts.query)
    return RemoteAddress(
        url=url,
        secure=parts.scheme == "https",
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        path=parts.path.rstrip("/") or "/v1",
        model=asked.get("model", ""),
        profile=_profile(asked.get("profile", "")),
        context_tokens=_count(asked, "context_tokens", None),
        connections=_count(asked, "connections", MOST_CONNECTIONS) or CONNECTIONS,
    )


@functools.lru_cache(maxsize=64)
def look_up(host: str, port: int) -> tuple[str, ...]:
    """The addresses that `host` has, the preferred first. Raises ModelError.

    They are found once a process: the command line looks before it confines itself,
    and names cannot be looked up after that.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(
            f"the model's server {host} cannot be found: {why}",
            hint="check the name in the URL, or write the address itself",
        ) from error
    return tuple(dict.fromkeys(str(place[0]) for *_, place in found))


def _asked(query: str) -> dict[str, str]:
    asked: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _KEYS:
            raise ConfigError(
                f"the model's URL asks for {key!r}", hint=f"known are {', '.join(_KEYS)}"
            )
        if key in asked or not value:
            raise ConfigError(f"the model's URL gives {key} {'twice' if value else 'no value'}")
        asked[key] = value
    return asked


def _count(asked: Mapping[str, str], key: str, most: int | None) -> int | None:
    text = asked.get(key)
    if text is None:
        return None
    number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if number < 1 or (most is not None and number > most):
        upto = "" if most is None else f" up to {most}"
        raise ConfigError(f"the model's URL gives {key}={text}; it is a number from 1{upto}")
    return number


def _profile(name: str) -> str:
    if name and name not in PROFILES:
        raise ConfigError(
            f"the model's URL asks for the profile {name!r}",
            hint=f"known are {', '.join(PROFILES)}",
        )
    return name
