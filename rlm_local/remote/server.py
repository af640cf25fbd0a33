"""What a server says of itself: which program it is, which model, how large its window.

    kind              told by                            window              tokens counted at
    vllm              owned_by "vllm"                    max_model_len       /tokenize
    llama.cpp         owned_by "llamacpp"                meta.n_ctx, /props  /tokenize
    llama-cpp-python  it answers /extras/tokenize/count  not told            /extras/tokenize/count
    ''                anything else                      max_model_len       nowhere

Where tokens are counted nowhere, every two bytes of text are taken for one: more than
there are in almost any text.
"""

from __future__ import annotations

import difflib
import hashlib
from typing import Annotated, Literal

import msgspec

from rlm_local.errors import ConfigError, ModelError
from rlm_local.records import Message, Record
from rlm_local.remote.address import RemoteAddress
from rlm_local.remote.refusals import model_error
from rlm_local.remote.retry import PassingError
from rlm_local.remote.web import Refused, Web

Kind = Literal["vllm", "llama.cpp", "llama-cpp-python", ""]

#: What a chat template may add, to a prompt and to each of its messages.
PROMPT_TOKENS, MESSAGE_TOKENS = 64, 16
_BYTES_PER_TOKEN = 2
_PIECE_CHARS = 1 << 18
_MOST_COUNTS = 4_096
_MOST_NAME_CHARS = 500

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Server(Record, frozen=True):
    """`counts`: it counts tokens when asked. `remarks`: what it does not tell, in sentences."""

    kind: Kind
    model: str
    window: int
    counts: bool
    parameters: int = 0
    remarks: tuple[str, ...] = ()


class _Meta(msgspec.Struct):
    n_ctx: _Count = 0
    n_params: _Count = 0


class _Entry(msgspec.Struct):
    id: str
    owned_by: str = ""
    max_model_len: _Count | None = None
    meta: _Meta | None = None


class _Models(msgspec.Struct):
    data: list[_Entry]


class _Settings(msgspec.Struct):
    n_ctx: _Count = 0


class _Props(msgspec.Struct):
    default_generation_settings: _Settings


class _Tokens(msgspec.Struct):
    """The answers of all three that count."""

    count: _Count | None = None
    tokens: list[object] | None = None


async def examine(web: Web, address: RemoteAddress, context_tokens: int | None) -> Server:
    """Raises ConfigError, ModelError, PassingError."""
    entry = _chosen(await _models(web, address), address)
    kind = await _kind(web, address, entry)
    counts = bool(kind) and await _tokens(web, address, kind, entry.id, "a") is not None
    told = entry.max_model_len or (entry.meta.n_ctx if entry.meta else 0)
    if not told and kind == "llama.cpp":
        told = await _props(web, address)
    remarks = []
    if kind in ("", "llama-cpp-python"):
        remarks.append(
            "tokens of replies that are cut short are estimated"
            if kind == ""
            else "tokens are counted by us, not by the server"
        )
    if not counts:
        remarks.append("tokens of texts are estimated, one for every two bytes")
    return Server(
        kind=kind,
        model=entry.id,
        window=_window(told, context_tokens, address),
        counts=counts,
        parameters=entry.meta.n_params if entry.meta else 0,
        remarks=tuple(remarks),
    )


class Tokenizer:
    """Counts tokens by the server's word, and remembers: dialogues say the same again."""

    def __init__(self, web: Web, address: RemoteAddress, server: Server) -> None:
        self._web = web
        self._address = address
        self._server = server
        self._counts: dict[bytes, int] = {}

    async def count(self, text: str) -> int:
        """Tokens in `text`; more where the server does not count.

        Raises ModelError, PassingError.
        """
        if not self._server.counts or not text:
            return estimate(text)
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        known = self._counts.get(key)
        if known is not None:
            return known
        counted = 0
        for start in range(0, len(text), _PIECE_CHARS):
            piece = text[start : start + _PIECE_CHARS]
            tokens = await _tokens(
                self._web, self._address, self._server.kind, self._server.model, piece
            )
            counted += estimate(piece) if tokens is None else tokens
        if len(self._counts) >= _MOST_COUNTS:
            self._counts.clear()
        self._counts[key] = counted
        return counted

    async def prompt(self, messages: tuple[Message, ...]) -> int:
        """Tokens of a prompt with these messages, and a little more: the template is not ours."""
        counted = [await self.count(message.content) for message in messages]
        return sum(counted) + template_tokens(messages)

    def guess(self, messages: tuple[Message, ...]) -> int:
        """As `prompt`, from what is known without asking."""
        counted = 0
        for message in messages:
            key = hashlib.blake2b(message.content.encode(), digest_size=16).digest()
            counted += self._counts.get(key, estimate(message.content))
        return counted + template_tokens(messages)


def estimate(text: str) -> int:
    """Tokens in `text`, for want of a tokenizer: hardly ever fewer than there are."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def at_most(messages: tuple[Message, ...]) -> int:
    """Tokens that a prompt cannot exceed: a token takes a byte at least."""
    return sum(len(message.content.encode()) for message in messages) + template_tokens(messages)


def template_tokens(messages: tuple[Message, ...]) -> int:
    return PROMPT_TOKENS + MESSAGE_TOKENS * len(messages)


# ------------------------------------------------------------------ what it says


async def _models(web: Web, address: RemoteAddress) -> list[_Entry] | None:
    """The models that it lists; None if it has no such list."""
    try:
        answer = await web.json("GET", f"{address.path}/models")
    except Refused as refused:
        if refused.status in (404, 405, 501) and address.model:
            return None
        raise model_error(refused, address) from refused
    try:
        found = msgspec.convert(answer, type=_Models).data
    except msgspec.ValidationError as error:
        raise _no_list(address, str(error)) from error
    if not all(entry.id.isprintable() and len(entry.id) <= _MOST_NAME_CHARS for entry in found):
        raise _no_list(address, "one has a name that cannot be shown")
    return found


def _no_list(address: RemoteAddress, why: str) -> ModelError:
    return ModelError(
        f"the server {address.server} does not list its models as OpenAI's API does: {why}",
        hint="see that the URL is that of a model's server; its path usually ends in /v1",
    )


def _chosen(models: list[_Entry] | None, address: RemoteAddress) -> _Entry:
    """The model that the URL names, or the only one."""
    if models is None:
        return _Entry(id=address.model)
    names = [entry.id for entry in models]
    if not address.model and len(models) == 1:
        return models[0]
    if address.model in names:
        return models[names.index(address.model)]
    shown = ", ".join(sorted(names)[:10]) or "none"
    if not address.model:
        raise ConfigError(
            f"the server {address.server} has {len(models)} models: {shown}",
            hint="name one of them at the end of the URL: ?model=NAME",
        )
    near = difflib.get_close_matches(address.model, names, n=1)
    raise ModelError(
        f"the server {address.server} has no model {address.model!r}",
        hint=f"did you mean {near[0]!r}?" if near else f"it has {shown}",
    )


async def _kind(web: Web, address: RemoteAddress, entry: _Entry) -> Kind:
    match entry.owned_by:
        case "vllm":
            return "vllm"
        case "llamacpp":
            return "llama.cpp"
    if await _tokens(web, address, "llama-cpp-python", entry.id, "a") is not None:
        return "llama-cpp-python"
    return ""


async def _props(web: Web, address: RemoteAddress) -> int:
    try:
        answer = await web.json("GET", f"{address.root}/props")
        return msgspec.convert(answer, type=_Props).default_generation_settings.n_ctx
    except (Refused, msgspec.ValidationError):
        return 0


async def _tokens(
    web: Web, address: RemoteAddress, kind: Kind, model: str, text: str
) -> int | None:
    """Tokens in `text` as this kind of server counts them; None if this one does not."""
    body: dict[str, object]
    match kind:
        case "vllm":
            path = "/tokenize"
            body = {"model": model, "prompt": text, "add_special_tokens": False}
        case "llama.cpp":
            path, body = "/tokenize", {"content": text, "add_special": False}
        case _:
            path, body = "/extras/tokenize/count", {"model": model, "input": text}
    try:
        answer = await web.json("POST", f"{address.root}{path}", body)
        read = msgspec.convert(answer, type=_Tokens)
    except (Refused, msgspec.ValidationError):
        return None
    except (ModelError, PassingError):
        if text == "a":  # tried out: a server may answer anything to what it does not know
            return None
        raise
    if read.count is not None:
        return read.count
    return None if read.tokens is None else len(read.tokens)


def _window(told: int, asked: int | None, address: RemoteAddress) -> int:
    wanted = address.context_tokens or asked
    if not told and not wanted:
        raise ConfigError(
            f"the server {address.server} does not say how large the model's window is",
            hint="say it: --context-tokens N, or ?context_tokens=N at the end of the URL",
        )
    if told and wanted and wanted > told:
        raise ConfigError(
            f"a window of {wanted:,} tokens was asked for, and the server's has {told:,}",
            hint="lower context_tokens",
        )
    return wanted or told
