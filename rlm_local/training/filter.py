"""Filter and repair dialogues, a model's or a teacher's, with a count of each.

As the paper did: what scored 0 goes, and dialogues of a single turn; turns that are too long
are not learned; small mistakes of form are repaired by program. A dialogue with marks on
the turns to learn stands for one sample a turn: in a causal model, each turn is predicted
from the full history before it and nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NotRequired, TypedDict, TypeVar

from rlm_local.dialogue import read_turn
from rlm_local.fences import as_block, blocks

#: The longest turn that is learned, in characters.
MOST_CHARS = 100_000
#: Whose turns are code for a REPL. All others (sub-calls) are learned as they are.
REPL_ROLES = ("root", "child")

_UNQUOTED = re.compile(r"\bFINAL_VAR\(\s*([A-Za-z_]\w*)\s*\)")
#: How `read_turn` makes a cell of FINAL(name) in prose.
_NAME_OR_TEXT = re.compile(r"\bFINAL\((\w+) if '\1' in globals\(\) else '\1'\)")
_TEXTS = re.compile(
    r"""(\"{3}|'{3}).*?\1|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|#[^\n]*""", re.DOTALL
)
#: Variables of every REPL.
_PROVIDED = "context context_names question answer"


class MarkedMessage(TypedDict):
    """`learn`: it is a turn to be learned, unless its `fault` says why not; '' where whoever
    made the dialogue knows that there is none. `thought`: what was thought before the turn."""

    role: str
    content: str
    learn: bool
    fault: NotRequired[str]
    thought: NotRequired[str]


class Dialogue(TypedDict):
    """Whole, with who said it: "root", "child", or the name of a sub-call's role. `score`:
    of the run, from 0 to 1; None if not known. `fault`: why nothing of it is to be learned."""

    messages: list[MarkedMessage]
    role: str
    score: float | None
    fault: NotRequired[str]


D = TypeVar("D", bound=Dialogue)


def filtered(
    dialogues: Iterable[D],
    tally: Counter[str],
    *,
    least_score: float = 0.0,
    most_chars: int = MOST_CHARS,
) -> Iterator[D]:
    """The dialogues that are worth learning from, repaired. `tally` counts what was done.

    A score of 0 is never enough; one that is not known is no reason to drop. Turns of more
    than `most_chars` characters are kept as history only.
    """
    for dialogue in dialogues:
        tally["dialogues"] += 1
        reason = _reason_to_drop(dialogue, least_score)
        if reason:
            tally[f"dropped: {reason}"] += 1
            continue
        kept = dialogue
        if dialogue["role"] in REPL_ROLES:
            kept = dialogue.copy()
            kept["messages"] = _repaired(dialogue["messages"], tally, most_chars)
        learned = sum(message["learn"] for message in kept["messages"])
        if learned:
            tally["kept dialogues"] += 1
            tally["kept turns"] += learned
            yield kept
        else:
            tally["dropped: nothing to learn"] += 1


def _reason_to_drop(dialogue: Dialogue, least_score: float) -> str:
    """In a few words, or ''."""
    if fault := dialogue.get("fault"):
        return fault
    score = dialogue["score"]
    if score is not None and score <= 0:
        return "score 0"
    if score is not None and score < least_score:
        return f"score below {least_score:g}"
    turns = sum(message["role"] == "assistant" for message in dialogue["messages"])
    if dialogue["role"] in REPL_ROLES and turns < 2:
        return "a single turn"
    return ""


def _repaired(
    messages: list[MarkedMessage], tally: Counter[str], most_chars: int
) -> list[MarkedMessage]:
    """The messages, the learned turns in the form that the runtime asks for."""
    made = []
    before = _PROVIDED
    for message, reply in zip(messages, [*messages[1:], None], strict=True):
        code = before
        if message["role"] == "assistant":
            before += f"\n{read_turn(message['content']).code}"
        if message["role"] != "assistant" or not message["learn"]:
            made.append(message)
            continue
        fault = message.get("fault")
        content = message["content"] if fault else repaired_turn(message["content"], tally, code)
        if not fault and not read_turn(content).code:
            fault = "no code"
        elif not fault and len(content) > most_chars:
            fault = "too long"
        elif fault is None and reply is not None and "Traceback" in reply["content"]:
            fault = "an error"
        if fault:
            tally[f"turns not learned: {fault}"] += 1
        made.append({**message, "content": content, "learn": not fault})
    return made


def repaired_turn(said: str, tally: Counter[str], before: str = _PROVIDED) -> str:
    """A turn of one block in a ```repl fence, FINAL within it, names in quotes.

    `before`: the code of the turns before it, which says what a variable is and what a text.
    """
    turn = read_turn(said)
    if not turn.code:
        return said
    code = _UNQUOTED.sub(r'FINAL_VAR("\1")', turn.code)
    if code != turn.code:
        tally["repaired: FINAL_VAR without quotes"] += 1
    found = blocks(turn.said)
    if not found:
        tally["repaired: FINAL outside a block"] += 1
        names = set(re.findall(r"\w+", _TEXTS.sub("''", before)))
        said = _NAME_OR_TEXT.sub(
            lambda name: f"FINAL({name[1] if name[1] in names else repr(name[1])})", code
        )
        return as_block(said)
    if turn.said.rstrip() != said.rstrip():
        tally["repaired: text after the block"] += 1
    start = found[0].start
    if turn.said[start:].split("\n", 1)[0] != "```repl":
        tally["repaired: the fence's language"] += 1
    return turn.said[:start] + as_block(code)
