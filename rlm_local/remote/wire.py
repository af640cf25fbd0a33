"""A request as the server wants it, and what the pieces of its reply say.

What OpenAI's API knows goes to every server; what only one kind of server knows goes
to that kind, since others refuse what they do not know.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from rlm_local.records import Message, Request
from rlm_local.remote.server import Server

_Count = Annotated[int, msgspec.Meta(ge=0)]
_GRAMMARS = ("llama.cpp", "llama-cpp-python")


class Used(NamedTuple):
    """Tokens by the server's count; `cached` of the `prompt` cost nothing."""

    prompt: int
    cached: int
    completion: int


class Piece(NamedTuple):
    """One event of a reply. `written`: it holds a token at least, be it of text or `thought`.

    `finish` is the server's word for why the reply has ended, '' if it has not.
    `error`: what went wrong, in the server's words.
    """

    text: str = ""
    thought: str = ""
    written: bool = False
    finish: str = ""
    used: Used | None = None
    error: str = ""


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    prompt_tokens_details: _Details | None = None


class _Timings(msgspec.Struct):
    """llama.cpp's own, which come with every token if asked for."""

    cache_n: _Count = 0
    prompt_n: _Count = 0
    predicted_n: _Count = 0


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: object = None


_chunks = msgspec.json.Decoder(_Chunk)


def takes_grammar(server: Server) -> bool:
    """Whether the server knows GBNF, llama.cpp's notation."""
    return server.kind in _GRAMMARS


def begun(request: Request, server: Server) -> str:
    """What there is of the reply already, if the server can go on with that.

    Where it cannot, '': then all of the reply is asked for anew.
    """
    return request.begun if server.kind in ("vllm", "llama.cpp") else ""


def said(request: Request, server: Server) -> tuple[Message, ...]:
    """The messages that go to the server."""
    text = begun(request, server)
    return (*request.messages, Message("assistant", text)) if text else request.messages


def body_of(request: Request, server: Server, *, most: int, grammar: str) -> dict[str, object]:
    """What to post for a reply of at most `most` tokens. `grammar`: its form, or ''."""
    body: dict[str, object] = {
        "model": server.model,
        "messages": [{"role": m.role, "content": m.content} for m in said(request, server)],
        "max_tokens": most,
        "temperature": request.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.temperature:
        body |= {"top_p": request.top_p, "seed": request.seed & 0x7FFF_FFFF}
    match server.kind:
        case "vllm":
            body |= {
                "top_k": request.top_k or -1,
                "min_p": request.min_p,
                "repetition_penalty": 1.0,
            }
            body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        case "llama.cpp":
            body |= {"top_k": request.top_k, "min_p": request.min_p, "timings_per_token": True}
        case "llama-cpp-python":
            body |= {"top_k": request.top_k, "min_p": request.min_p, "repeat_penalty": 1.0}
    if begun(request, server):
        # Its thought is over: llama.cpp takes no beginning of one who may still think.
        body["chat_template_kwargs"] = {"enable_thinking": False}
        if server.kind == "vllm":  # llama.cpp does so by itself
            body |= {"add_generation_prompt": False, "continue_final_message": True}
    schema = request.schema
    if grammar:
        body["grammar"] = grammar
    elif schema is not None or request.choices:
        # A choice is the JSON string that says it: the one form that all servers know.
        wanted = {"enum": list(request.choices)} if schema is None else schema
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "reply", "schema": wanted, "strict": True},
        }
    return body


def piece_of(data: bytes) -> Piece:
    """What one event says. Raises ValueError."""
    try:
        # By way of text: bytes that are not UTF-8 are U+FFFD and no error.
        chunk = _chunks.decode(data.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    if chunk.error is not None:
        error_text = chunk.error.get("message") if isinstance(chunk.error, dict) else chunk.error
        return Piece(error=str(error_text)[:2_000] or "an error")
    choice = chunk.choices[0] if chunk.choices else _Choice()
    delta = choice.delta or _Delta()
    text, thought = delta.content or "", delta.reasoning_content or delta.reasoning or ""
    return Piece(
        text=text,
        thought=thought,
        written=bool(text or thought),
        finish=choice.finish_reason or "",
        used=_used(chunk),
    )


def choices_grammar(choices: tuple[str, ...]) -> str:
    """GBNF for one of `choices`."""
    return "root ::= " + " | ".join(f'"{_escaped(choice)}"' for choice in choices)


def _used(chunk: _Chunk) -> Used | None:
    if (usage := chunk.usage) is not None:
        details = usage.prompt_tokens_details
        cached = (details and details.cached_tokens) or 0
        return Used(usage.prompt_tokens, min(cached, usage.prompt_tokens), usage.completion_tokens)
    if (timings := chunk.timings) is not None:
        prompt = timings.cache_n + timings.prompt_n
        return Used(prompt, timings.cache_n, timings.predicted_n)
    return None


def _escaped(text: str) -> str:
    marks = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(
        marks.get(letter) or (letter if letter >= " " else f"\\x{ord(letter):02x}")
        for letter in text
    )
