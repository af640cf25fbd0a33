"""What a server's refusal of a request means: too long a prompt, a wrong key, or what it says."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from rlm_local.errors import ModelError
from rlm_local.remote.address import RemoteAddress
from rlm_local.remote.web import KEY_VARIABLE, Refused

_TOO_LONG = re.compile(r"context[ _](?:length|size|window)|n_ctx|max_model_len", re.IGNORECASE)
_WINDOW = re.compile(r"maximum context length (?:is|of) ([\d,]+)|max_model_len[^\d]{1,12}([\d,]+)")
_PROMPT = re.compile(
    r"\(([\d,]+) in (?:the messages|your prompt)|resulted in ([\d,]+) tokens"
    r"|(?<!at least )\b([\d,]+) (?:input|prompt) tokens|\(([\d,]+) tokens\)"
)


class TooLong(NamedTuple):
    """A prompt or its reply does not fit: the prompt's tokens and the window's.

    0 where the server does not say, or says "at least".
    """

    tokens: int
    window: int


class _Error(msgspec.Struct):
    message: str = ""
    n_prompt_tokens: int = 0  # llama.cpp
    n_ctx: int = 0
    code: object = None
    type: object = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    message: str = ""  # vLLM, once


def too_long(refused: Refused) -> TooLong | None:
    """What the server says of a prompt that does not fit, if that is what it says."""
    error = _error_of(refused.body)
    kinds = f"{error.type} {error.code}"
    if refused.status not in (400, 413, 422):
        return None
    if "context" not in kinds and not _TOO_LONG.search(error.message):
        return None
    return TooLong(
        tokens=error.n_prompt_tokens or _number(_PROMPT, error.message),
        window=error.n_ctx or _number(_WINDOW, error.message),
    )


def model_error(refused: Refused, address: RemoteAddress) -> ModelError:
    """Any other refusal, as an error with what the server said."""
    said = f": {refused.text}" if refused.text else ""
    hint = ""
    match refused.status:
        case 401 | 403:
            hint = f"put the server's key into the variable {KEY_VARIABLE}"
        case 404:
            hint = "see that the URL's path is right (it usually ends in /v1), and the model's name"
    return ModelError(
        f"the model's server {address.server} refused ({refused.status}){said}", hint=hint
    )


def _error_of(body: bytes) -> _Error:
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Error(message=body[:4096].decode("utf-8", "replace"))
    if isinstance(read.error, _Error):
        return read.error
    return _Error(message=read.error or read.message)


def _number(found: re.Pattern[str], text: str) -> int:
    match = found.search(text)
    digits = next((group for group in match.groups() if group), "") if match else ""
    return int(digits.replace(",", "")[:12] or 0)
