"""The plain, frozen values that pass between the parts.

They are msgspec structs, so that the same types are what a run record holds,
what `--events` prints and what the worker process is sent. Times are seconds,
sizes are bytes unless the name says characters or tokens.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the records: immutable, keyword-only, unknown fields refused."""


#: The root of a run's tree. A node's children are numbered in the order in which its code
#: calls for them, from 1: "0.3" is the root's third child, "0.3.1" the first of that one.
ROOT = "0"


def depth_of(node: str) -> int:
    """How far below the root a node is."""
    return node.count(".")


#: How a question is asked: the prompt given to the model, or worked on in the REPL, or as it fits.
Mode = Literal["auto", "direct", "rlm"]
#: Whether a turn must be text and one block of code; "auto": as the model's profile says.
TurnForm = Literal["auto", "free", "block"]


#: How the numbers of the KV cache are stored: 16 bits each, or about half of that.
KvType = Literal["f16", "q8_0"]
#: One of those, or the planner's choice.
KvChoice = Literal["auto", "f16", "q8_0"]
#: How many of a model's layers are on a GPU, or as many as fit there.
LayerChoice = int | Literal["auto"]


class StopReason(StrEnum):
    """Why a run ended. All but `ANSWERED` come with the best partial answer."""

    ANSWERED = "answered"
    WALL_CLOCK = "wall_clock"
    TURNS = "turns"
    TOKENS = "tokens"
    SUB_CALLS = "sub_calls"
    WINDOW = "window"  # the dialogue no longer fits the model's window
    REPEATS = "repeats"  # the model kept sending the same cell, or turns without code
    ANSWER_SIZE = "answer_size"  # the final value was larger than an answer may be
    MODEL = "model"  # the model failed for good
    SANDBOX = "sandbox"  # the sandbox failed for good
    DISK = "disk"  # the record cannot be written, or the prompt's spool is gone
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"  # of a child: its parent ended without waiting for it


# ------------------------------------------------------------------ the model


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: str


class Request(Record, frozen=True):
    """One completion wanted from a model.

    `dialogue` names the conversation that the messages belong to: its KV cache
    is kept, so that the next request of the same dialogue prefills only what is
    new. '' is a one-off. `stop="fence"` ends generation after a closing fence.

    `node` names who asks ("0.3": child 3 of the root "0"), `depth` how far below
    the root: where places are short the deepest go first, and nodes take turns.
    `turn`, or for a plain call of the node's code `call`, says which one it is.

    At a `temperature` of 0 the likeliest token is taken. Above it, tokens are
    drawn among the `top_k` likeliest (0: all), the fewest that make up `top_p`,
    and those at least `min_p` times as likely as the likeliest.

    At most one of these binds the reply's form: `choices` makes it the likeliest
    of these texts, `schema` a JSON text that the JSON Schema admits, `grammar` a
    text of this GBNF, `block` prose and one runnable block (`fences.in_its_place`).
    `thought_tokens`: what a model that thinks may think on top of `max_tokens`; 0, or one
    of the first three forms: nothing. A reply that is `begun`, thoughts included, goes on
    from there; all of it comes back.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    stop: Literal["", "fence"] = ""
    block: bool = False
    thought_tokens: int = 0
    begun: str = ""
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.05
    seed: int = 0
    dialogue: str = ""
    node: str = ""
    depth: int = 0
    turn: int = 0
    call: int = 0
    choices: tuple[str, ...] = ()
    schema: dict[str, object] | None = None
    grammar: str = ""


#: Why a completion ended. "form": it does not keep to the form that was asked for, which a
#: model of our own cannot do, and one on a server may.
Finish = Literal["stop", "length", "deadline", "tokens", "form"]


class Completion(Record, frozen=True):
    """What a model made of a `Request`. `cached_tokens` of the prompt cost nothing, nor does
    one that is `reused`: it is the reply to an equal request of the same run."""

    text: str
    finish: Finish
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float
    reused: bool = False
    thought: str = ""  # what stood before the text, marks included
    thought_tokens: int = 0  # of the completion_tokens
    retries: int = 0  # attempts before this one that did not parse; their tokens are counted

    @property
    def is_cut(self) -> bool:
        """Whether a limit, or an end of its node or its run, has cut it short."""
        return self.finish in ("deadline", "tokens")

    @property
    def work_tokens(self) -> int:
        """Tokens the model really processed: what the token limit counts."""
        return self.prompt_tokens - self.cached_tokens + self.completion_tokens


class Adapter(Record, frozen=True):
    """A LoRA adapter as it is asked for: its file, and what its change is multiplied by."""

    path: str
    scale: float = 1.0


class ModelInfo(Record, frozen=True):
    """What the controller must know of a model. `profile` picks the prompts.

    `name` tells models apart, adapters included: "qwen3-8b+style:0.5". `weights` is equal
    only for the same weights with the same adapters, wherever their files lie, `identity` only
    for models that give the same greedy reply to the same request; '' is unknown.
    """

    name: str
    path: str
    context_tokens: int
    profile: str
    parameters: int = 0
    file_bytes: int = 0
    thinks: bool = False  # whether it can write thoughts before its replies
    adapters: tuple[Adapter, ...] = ()
    weights: str = ""
    identity: str = ""


# ---------------------------------------------------------------- the sandbox


class GuestError(Record, frozen=True):
    """An exception of the guest's code: its type, message and a short traceback."""

    type: str
    message: str
    traceback: str


class Observation(Record, frozen=True):
    """What running one cell gave.

    `value` is the repr of the last expression, or None as in a REPL. Text is
    capped in the guest; the `*_chars` say how much was written in all.
    `seconds` is the time in the guest's code, without host calls (`host_seconds`).
    `partial` is what the code has put into `answer["content"]`, once it has.
    `restarted`: the guest had to be stopped for good and its variables are lost.
    """

    stdout: str = ""
    stderr: str = ""
    stdout_chars: int = 0
    stderr_chars: int = 0
    value: str | None = None
    error: GuestError | None = None
    partial: str | None = None
    seconds: float = 0.0
    host_seconds: float = 0.0
    restarted: bool = False


# ------------------------------------------------------------------- the run


class DepthUsage(Record, frozen=True):
    """What was used at one depth: by the `nodes` there, and by plain calls from the level above.

    `sub_calls` are those calls and nodes: what the level above has called. Of the
    calls, `reused_calls` had the reply of an equal one. `call_tokens`: as in `Usage`.
    """

    depth: int
    nodes: int = 0
    turns: int = 0
    sub_calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reused_calls: int = 0
    thought_tokens: int = 0
    call_tokens: int = 0


class Usage(Record, frozen=True):
    """What a run has used, or a child with all below it. `by_depth` adds up to the rest.

    Of `work_tokens`, plain calls took `call_tokens`, so where a sub-model answers those,
    they are what it processed, and the rest is the model's.
    """

    seconds: float = 0.0
    turns: int = 0
    sub_calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reused_calls: int = 0
    thought_tokens: int = 0  # of the completion_tokens
    call_tokens: int = 0
    by_depth: tuple[DepthUsage, ...] = ()

    @property
    def work_tokens(self) -> int:
        """What the token limit counts."""
        return self.prompt_tokens - self.cached_tokens + self.completion_tokens


class Answer(Record, frozen=True):
    """The end of a run: the text, why it stopped, what it used, where its record is.

    `sub_model` answered the plain calls; '' if `model` did that too.
    """

    text: str
    stop: StopReason
    usage: Usage
    run_id: str
    model: str
    message: str = ""  # for a stop that is not `answered`: one sentence on why
    sub_model: str = ""

    @property
    def complete(self) -> bool:
        return self.stop is StopReason.ANSWERED


# -------------------------------------------- events, as recorded and streamed
#
# `node` says whose event it is (see ROOT). `call` numbers the calls that a node's code
# makes of the host, from 1 on over all its turns: the same code makes them in the same
# order again. `depth` is where the cost arose: a plain call's is one below its node's.


class RunStarted(Record, frozen=True, tag="start"):
    """First event of a run. `limits`: the fields of `Limits`.

    `model` takes all turns, `sub_model` answers plain calls; '': that is the same. In a fork of
    a run that had others, they have the first `others_turns` of the root, and what these called.
    """

    run_id: str
    time: float  # Unix time
    question: str
    model: str
    mode: Literal["direct", "rlm"]
    prompt: dict[str, object]
    limits: dict[str, object]
    seed: int = 0
    turn_form: TurnForm = "auto"
    sub_model: str = ""
    others_turns: int = 0


class NodeStarted(Record, frozen=True, tag="node"):
    """The child `node` begins: number `index` of those that call `call` of its parent asked for.

    `share` is its part of what its parent had left, if it was given one.
    """

    node: str
    depth: int
    turn: int  # of the parent
    call: int
    index: int
    question: str
    prompt: dict[str, object]
    share: float | None = None


class TurnStarted(Record, frozen=True, tag="turn"):
    """The model is about to be asked for turn `turn` (from 1).

    `opening`, at the first turn of a node with a REPL: the messages that its dialogue begins
    with. With them the record holds all that the model has seen.
    """

    turn: int
    node: str = ROOT
    depth: int = 0
    opening: tuple[Message, ...] = ()


class Replied(Record, frozen=True, tag="reply"):
    """The model's turn: its whole text and the code that will be run ('' if none)."""

    turn: int
    text: str
    code: str
    completion: Completion
    node: str = ROOT
    depth: int = 0


class Submitted(Record, frozen=True, tag="submitted"):
    """Plain calls have begun that the code goes on beside; `SubCalled` has their replies."""

    turn: int
    call: int
    prompts: tuple[str, ...]
    node: str = ROOT
    depth: int = 1


class SubCalled(Record, frozen=True, tag="sub_calls"):
    """One batch of sub-calls has come back. `choices` and `schema`: the form they had to have."""

    turn: int
    prompts: tuple[str, ...]
    replies: tuple[str, ...]
    completions: tuple[Completion, ...]
    seconds: float
    node: str = ROOT
    depth: int = 1
    call: int = 0
    choices: tuple[str, ...] = ()
    schema: dict[str, object] | None = None


class CallRaised(Record, frozen=True, tag="raised"):
    """A call raised in the guest's code, as the builtin exception `kind`.

    Of a batch whose items end one by one, `index` says which raised; -1 is all of it.
    `completions`: what the call has cost by then that `SubCalled` does not have.
    """

    turn: int
    call: int
    kind: str
    message: str
    node: str = ROOT
    index: int = -1
    completions: tuple[Completion, ...] = ()


class Polled(Record, frozen=True, tag="polled"):
    """The code asked whether a submitted call was done, and the `polls`-th time it was.

    With this, what the code saw can be shown to it again.
    """

    turn: int
    call: int
    index: int
    polls: int
    node: str = ROOT


class Ran(Record, frozen=True, tag="ran"):
    """A cell has run, and `shown` is what the model is told of it.

    `turn_seconds` is the whole turn; less `model_seconds`, the guest's own time
    and its sub-calls, it is what the runtime itself cost (`overhead_seconds`).
    """

    turn: int
    observation: Observation
    shown: str
    turn_seconds: float
    model_seconds: float
    overhead_seconds: float
    node: str = ROOT
    depth: int = 0


class NodeEnded(Record, frozen=True, tag="node_end"):
    """The child `node` has ended with `text`: its answer, or the best there was.

    `usage` is of the child and all below it.
    """

    node: str
    depth: int
    text: str
    stop: StopReason
    usage: Usage
    message: str = ""  # as in `Answer`


class Resumed(Record, frozen=True, tag="resumed"):
    """The run, which had been killed or interrupted, goes on.

    What it says after this takes the place of an end that is recorded before.
    `used_seconds` is the time that it had run for by then.
    """

    time: float
    used_seconds: float


class RunEnded(Record, frozen=True, tag="end"):
    """Last event of a run, unless it is resumed."""

    time: float
    answer: Answer


Event = (
    RunStarted
    | NodeStarted
    | TurnStarted
    | Replied
    | Submitted
    | SubCalled
    | CallRaised
    | Polled
    | Ran
    | NodeEnded
    | Resumed
    | RunEnded
)
