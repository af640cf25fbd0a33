"""What passes between a `LlamaModel` and its worker process.

Two pipes, one each way, of length-prefixed msgpack frames. The records are the
package's own, so both ends check types as they decode.
"""

from __future__ import annotations

import math
import os
import select
import struct
import time
from typing import TypeVar

import msgspec

from rlm_local.errors import ModelFileError
from rlm_local.limits import MIB
from rlm_local.llama.drafting import Draft
from rlm_local.llama.memory import MemoryPlan
from rlm_local.llama.modelfile import Special
from rlm_local.records import Adapter, Completion, Record, Request

_LENGTH = struct.Struct("<I")
LONGEST_WAIT = 3600.0  # seconds; a wait in `select` must be finite
# Of what one command asks. The worker holds it several times over, as frame, as text and as
# tokens, in what it may have above the model's plan.
MOST_BYTES = 32 * MIB


LOAD = 0  # the id of the command to load; calls have ids from 1 on, never one twice


class Load(Record, frozen=True, tag="load"):
    """First command: which model, how. `check` reads every weight for validity.

    `states`: the folder for what is kept of system prompts, or '' to keep nothing;
    `identity`: what they belong to.
    `speculate`: whether tokens are guessed, by `draft` too if there is one.
    """

    path: str
    plan: MemoryPlan
    threads: int
    template: str
    specials: tuple[Special, ...]
    bos: int | None
    eos: int
    adapters: tuple[Adapter, ...] = ()
    identity: str = ""
    states: str = ""
    speculate: bool = True
    draft: Draft | None = None
    check: bool = False
    id: int = LOAD


class Complete(Record, frozen=True, tag="complete"):
    """`deadline` is on `time.monotonic`'s clock, which both processes share."""

    id: int
    requests: tuple[Request, ...]
    deadline: float
    token_limit: int


class Count(Record, frozen=True, tag="count"):
    id: int
    text: str


class Cancel(Record, frozen=True, tag="cancel"):
    """End the `Complete` of this id, as at its deadline."""

    id: int


class Forget(Record, frozen=True, tag="forget"):
    """Nobody will go on with the dialogues of this node, nor of those below it. Not answered."""

    id: int
    node: str


Command = Load | Complete | Count | Cancel | Forget


class Loading(Record, frozen=True, tag="loading"):
    """`fraction` of the weights is loaded."""

    fraction: float
    id: int = LOAD


class Loaded(Record, frozen=True, tag="loaded"):
    id: int = LOAD


class Completed(Record, frozen=True, tag="completed"):
    id: int
    completions: tuple[Completion, ...]


class Counted(Record, frozen=True, tag="counted"):
    id: int
    tokens: int


class TooLong(Record, frozen=True, tag="too_long"):
    """The request at `index` does not fit: a WindowError."""

    tokens: int
    fits: int
    index: int


class Malformed(Record, frozen=True, tag="malformed"):
    """The request at `index` asks for a form that cannot be kept to: a FormError."""

    message: str
    hint: str
    index: int


class Refused(Record, frozen=True, tag="refused"):
    """Requests of a batch, one or more, for which all of it comes to nothing."""

    id: int
    requests: tuple[TooLong | Malformed, ...]


class Failed(Record, frozen=True, tag="failed"):
    """A ModelError. Id LOAD: loading failed."""

    id: int
    message: str
    hint: str


Reply = Loading | Loaded | Completed | Counted | Refused | Failed

_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_encoder = msgspec.msgpack.Encoder()


class Closed(Exception):
    """The other end of the pipe is gone, or does not write what it should."""


class Untaken(Exception):
    """The other end of the pipe has not read all of a frame in time."""


def frame(message: Command | Reply) -> bytes:
    """Raises ModelFileError for a path that is not UTF-8: other texts have been made so."""
    try:
        body = _encoder.encode(message)
    except UnicodeEncodeError as error:
        raise ModelFileError(
            f"the path {error.object!r} is not UTF-8, so the model's process cannot be told it",
            hint="rename the file",
        ) from None
    return _LENGTH.pack(len(body)) + body


def bytes_of(asked: Request | str) -> int:
    """What `asked` takes of a frame. Its text is known to be UTF-8."""
    return len(_encoder.encode(asked))


def send(pipe: int, message: Command | Reply) -> None:
    """Write one frame. Raises Closed."""
    write(pipe, frame(message))


def write(pipe: int, whole: bytes, *, until: float = math.inf) -> None:
    """Write what `frame` made. Raises Closed, and where `pipe` does not block, Untaken."""
    rest = memoryview(whole)
    try:
        while rest:
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0:
                    raise Untaken from None
                select.select([], [pipe], [], min(left, LONGEST_WAIT))
    except BrokenPipeError:
        raise Closed from None


def receive_command(pipe: int) -> Command:
    """Read one frame; waits for it. Raises Closed."""
    return _decoded(_command_decoder, pipe)


def receive_reply(pipe: int) -> Reply:
    """Read one frame; waits for it. Raises Closed."""
    return _decoded(_reply_decoder, pipe)


_Message = TypeVar("_Message")


def _decoded(decoder: msgspec.msgpack.Decoder[_Message], pipe: int) -> _Message:
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    try:
        return decoder.decode(_exactly(pipe, length))
    except msgspec.DecodeError as error:
        raise Closed from error


def _exactly(pipe: int, count: int) -> bytearray:
    taken = bytearray()
    while len(taken) < count:
        part = os.read(pipe, min(count - len(taken), 1 << 20))
        if not part:
            raise Closed
        taken += part
    return taken
