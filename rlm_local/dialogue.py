"""What is said to the model, and how its turns are read. Pure functions, no I/O.

A `Profile` holds the wording for one kind of model; everything else here is the
same for all. The root model is told *about* the prompt (type, size, a short
head), never given it, and of each cell's output it sees a constant-size part.
"""

from __future__ import annotations

import ast
import keyword
import re
from typing import Literal

from rlm_local.fences import TEXT_FINAL, blocks, end_of_block
from rlm_local.records import Message, Observation, Record


class PromptFacts(Record, frozen=True):
    """All that the root model is told of the prompt.

    `head` is its beginning. `call_chars`: characters that fit one sub-call, by
    the sub-model's own tokenizer and window; None when there are no sub-calls. `children`:
    whether these may have a REPL, where there are some. `on_demand`: the documents do not fit
    the REPL's memory together.
    """

    documents: int
    single: bool
    chars: int
    head: str
    call_chars: int | None = None
    children: bool = False
    on_demand: bool = False


class Profile(Record, frozen=True):
    """The wording for one kind of model.

    `direct`: whether it may be given a short prompt as it is, in mode `auto`.
    `block`: whether it is made to write a block of code in every turn.
    `head_chars`: how much of the prompt's beginning it is shown.
    `output_chars`: how much of a cell's output, at most.
    """

    name: str
    system: str
    opening: Literal["full", "short"]
    direct: bool
    block: bool
    head_chars: int
    output_chars: int


class Turn(Record, frozen=True):
    """A model's turn, read.

    `said` is what belongs into the history (nothing after the first block),
    `code` the cell to run or ''. `cut`: a block was begun and never ended.
    """

    said: str
    code: str = ""
    cut: bool = False


_GENERIC_SYSTEM = """\
You answer a question about a text that is too long to be shown to you. The text is the \
variable `context` of a Python REPL that you control. You see only what your code prints, \
cut to a few thousand characters, so look at parts and compute the rest.

Each of your turns is a short thought and then exactly one block of Python:
```repl
print(len(context), context[:300])
```
The block is run, and the next message shows its output. What holds:
1. Variables, functions and imports stay from turn to turn. The standard library is there; \
there are no files and no network.
2. `context` is a str, or a list of str with their names in `context_names`. `question` is the \
question as a str.
3. `grep(pattern, around=80, limit=20)` lists passages of `context` around matches of a regular \
expression; `chunks(text, chars, overlap=0)` cuts a text into pieces; `SHOW_VARS()` lists your \
variables.
{calls}
{end}. Finish by calling, in a block, `FINAL(value)` with the answer, or `FINAL_VAR("name")` with \
a variable that holds it, however long it is. Only then is the run over: never call them for a plan.

Decide first how the question splits up: what code can find or count, let code do; what needs \
reading, {reading}. Check what you found before you finish.

Example, for "Which city did the auditor visit last?":
```repl
for passage in grep(r"auditor"):
    print(passage)
```
and, when the output shows the line:
```repl
FINAL("Turin")
```"""

_CALLS = """\
4. `llm_query(prompt)` asks a language model and returns its reply as a str. It sees nothing but \
the prompt you give it, so put the text and the task into it; up to about {call_chars:,} \
characters fit.
5. `llm_query_batched(prompts)` asks many at once and returns the replies in order; it is much \
faster than a loop. Use few large prompts rather than many small ones where you can."""

_CHILDREN = """\
6. `rlm_query(question, text)` gives a helper a REPL like yours, with `text` (a str of any size, \
or a list of str) as its `context`, and returns its answer as a str; `rlm_query_batched(pairs)` \
does so for many (question, text) pairs at once. Use them for parts that need several steps of \
their own; for a single reading `llm_query` is cheaper."""

#: The question of a child that was given one long prompt and nothing else.
DO_AS_CONTEXT_SAYS = "Do what the text in `context` asks for. Its beginning or its end says it."

_NANO_SYSTEM = ""

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="generic",
            system=_GENERIC_SYSTEM,
            opening="full",
            direct=True,
            block=True,
            head_chars=400,
            output_chars=4_000,
        ),
        Profile(
            name="nano",
            system=_NANO_SYSTEM,
            opening="short",
            direct=False,
            block=False,  # it has learnt no other form
            head_chars=0,
            output_chars=900,
        ),
    )
}


def profile_of(name: str) -> Profile:
    """The profile `name`; a model that names an unknown one gets the generic wording."""
    return PROFILES.get(name, PROFILES["generic"])


# --------------------------------------------------------------- what is said


def opening(profile: Profile, question: str, facts: PromptFacts) -> tuple[Message, ...]:
    """The messages that start a root dialogue. Their size does not grow with the prompt."""
    if profile.opening == "short":  # alike at every length: a tiny model is put off by figures
        return (
            Message("user", f"{question}\ncontext: {'str' if facts.single else 'list of str'}"),
        )
    kind = "str" if facts.single else f"list of {facts.documents:,} str"
    if facts.on_demand:
        kind = (
            f"sequence of {facts.documents:,} str, which do not fit the memory together (go "
            "through them, and keep slices, not whole documents)"
        )
    with_calls = facts.call_chars is not None
    calls = _CALLS.format(call_chars=facts.call_chars) if with_calls else ""
    if with_calls and facts.children:
        calls += f"\n{_CHILDREN}"
    system = profile.system.format(
        calls=calls,
        end=(7 if facts.children else 6) if with_calls else 4,
        reading="give in parts to `llm_query_batched`" if with_calls else "print in parts",
    )
    user = (
        f"`context` is a {kind}, {facts.chars:,} characters in all. It begins:\n"
        f"{facts.head!r}\n\nQuestion: {question}"
    )
    return (Message("system", system), Message("user", user))


def direct(question: str, text: str) -> tuple[Message, ...]:
    """The one message of a run in which the model reads the whole text itself."""
    return (Message("user", f"{text}\n\nQuestion: {question}\nAnswer briefly."),)


def sub_call(prompt: str) -> tuple[Message, ...]:
    """A plain call: the prompt is all that the sub-model sees."""
    return (Message("user", prompt),)


def child_as_call(question: str, context: str) -> str:
    """The plain prompt that an `rlm_query` becomes where no further REPL is allowed."""
    return f"{context}\n\nQuestion: {question}\nAnswer briefly."


def observation(profile: Profile, ran: Observation, output_chars: int) -> str:
    """What the model is told of a cell: a prefix of each part, and its length if cut."""
    limit = min(profile.output_chars, output_chars)
    parts = []
    if ran.restarted:
        parts.append("The REPL had to be restarted; your variables are gone.")
    if ran.stdout:
        parts.append(_prefix(ran.stdout, ran.stdout_chars, limit))
    if ran.value is not None:
        parts.append(_prefix(ran.value, len(ran.value), limit))
    if ran.stderr:
        parts.append("stderr: " + _prefix(ran.stderr, ran.stderr_chars, limit // 4))
    if ran.error is not None:
        parts.append(_prefix(ran.error.traceback, len(ran.error.traceback), limit))
    return "\n".join(parts) or "(no output)"


def _prefix(text: str, written: int, limit: int) -> str:
    text = text.rstrip("\n")
    written = max(written, len(text))
    if len(text) <= limit and written <= len(text) + 1:
        return text
    return f"{text[:limit]}… ({written:,} characters in all)"


REPEATED = (
    "You ran this very cell before, and it gave the same output. "
    "Do something else, or finish with FINAL(value)."
)
NO_CODE = "There was no ```repl block in your turn. Write one; finish with FINAL(value) in it."


def cut_short(max_tokens: int) -> str:
    """What the model is told when its block had no end and was therefore not run."""
    return f"Your turn was cut at {max_tokens:,} tokens and was not run. Write a shorter block."


# ------------------------------------------------------------- what was said


def read_turn(text: str, *, cut: bool = False) -> Turn:
    """Find the cell in a model's turn.

    The first runnable block is the cell; what follows it is dropped, since it
    was written without having seen the output. `cut`: generation ended by
    length, so that a block without an end is not run. Without a block, a line
    that begins with `FINAL(…)` or `FINAL_VAR(…)` becomes the cell that does it.
    """
    found = blocks(text)
    if found:
        if cut and not found[0].closed:
            return Turn(said=text, cut=True)
        return Turn(said=text[: end_of_block(text)], code=found[0].code)
    ending = TEXT_FINAL.search(text)
    if ending is None:
        return Turn(said=text)
    content = text[ending.end() : _closing_parenthesis(text, ending.end())].strip()
    return Turn(said=text, code=_final_cell(ending[1], content))


def _closing_parenthesis(text: str, start: int) -> int:
    """The `)` that ends a call begun before `start`: the balanced one if a line ends
    behind it, else the last of the text (an answer in prose need not balance)."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            if not text[position + 1 :].split("\n", 1)[0].strip(" \t.`*"):
                return position
            break
    last = text.rfind(")", start)
    return last if last >= 0 else len(text)


def _final_cell(kind: str, content: str) -> str:
    literal = _literal(content)
    if kind == "FINAL_VAR":
        return f"FINAL_VAR({literal or repr(content)})"
    if literal is not None:
        return f"FINAL({literal})"
    # FINAL(result) is meant as the variable, if there is one.
    if content.isidentifier() and not keyword.iskeyword(content):
        return f"FINAL({content} if {content!r} in globals() else {content!r})"
    return f"FINAL({content!r})"


_RAW = re.compile(r"[bf]?r", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
#: What may follow a backslash. Python keeps others too, such as \\d, but warns the user of them.
_ESCAPES = "\n\r\\'\"abfnrtvx01234567NuU"


def _literal(content: str) -> str | None:
    """`content` as source of a string literal, if it is one."""
    if not _RAW.match(content):
        content = _ESCAPE.sub(lambda m: m[0] if m[1] in _ESCAPES else "\\" + m[0], content)
    try:
        value = ast.literal_eval(content)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return repr(value) if isinstance(value, str) else None
