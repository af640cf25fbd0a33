"""Calling a model from a cell: the functions that the model's code gets, and handles.

The host answers every call (CONTRACT.md, "Host calls"). A long text is not sent: the
host is told where in memory it lies, and `context` itself is only named.
"""

from __future__ import annotations

import builtins
import json
import operator
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import _rlm  # type: ignore[import-not-found] # the glue

#: Texts from this length on are handed over by their place in memory.
LONG_CHARS = 1 << 16
#: How deep texts may lie within arguments to be found: batch, query, context, document.
_DEEPEST = 5

#: The session's `context`, and what it was at first; None before there is one.
_context: object = None
_context_as_given: object = None
_THE_CONTEXT = {"$context": None}
_new_partial: Callable[[], str] = str
_partial_told: Callable[[str], object] = str


# ------------------------------------------------------------------- what code can call


def llm_query(
    prompt: str, *, choices: Iterable[str] | None = None, schema: dict[str, Any] | None = None
) -> str:
    """Ask a language model. It sees nothing but `prompt`; its reply.

    With `choices` the reply is the likeliest of them, with a JSON `schema` it is JSON
    that the schema admits.
    """
    reply: str = ask_host("llm_query", [prompt_of(prompt), *form_of(choices, schema)])
    return reply


def llm_query_batched(
    prompts: Iterable[str],
    *,
    choices: Iterable[str] | None = None,
    schema: dict[str, Any] | None = None,
) -> list[str]:
    """Ask about many prompts at once; the replies in order. `choices` and `schema` as in
    llm_query, for all of them."""
    wanted = listed(prompts, "llm_query_batched")
    replies: list[str] = ask_host("llm_query_batched", [wanted, *form_of(choices, schema)])
    return replies


def rlm_query(question: str, context: object = None, budget: float | None = None) -> str:
    """Have a child with a REPL of its own answer `question` about `context`.

    `context` is a str, a list of str or a dict from names to str; without one the
    question is the context too. `budget` is a share of what is left, above 0 and at
    most 1. A child that a limit of its own ended gives its best partial answer, and
    says so on stderr; one that has none raises RuntimeError.
    """
    [outcome] = ask_host("rlm_query", [query_of(question, context), budget])
    return value_of(outcome)


def rlm_query_batched(queries: Iterable[object], budget: float | None = None) -> list[str]:
    """Have children answer many (question, context) pairs side by side.

    They share `budget`. If some fail, BatchError is raised after all have ended: its
    `results` has the answers, and None for those that failed.
    """
    wanted = [one_query(query) for query in listed(queries, "rlm_query_batched")]
    return values_of(ask_host("rlm_query_batched", [wanted, budget]))


def submit(prompt: str, context: object = None, budget: float | None = None) -> Handle:
    """Begin `llm_query(prompt)` or, with a context, `rlm_query(prompt, context)`, and go on."""
    if context is None and budget is None:
        return Handle(begin("llm", [prompt_of(prompt)]))
    return Handle(begin("rlm", [query_of(prompt, context)], budget))


def gather(*handles: Any) -> Any:
    """Wait for handles, or for one list of them; their results in order."""
    if len(handles) == 1 and not hasattr(handles[0], "__await__"):  # handles have it too
        handles = tuple(handles[0])
    if all(isinstance(handle, Handle) for handle in handles):
        return values_of(collect([handle.place for handle in handles]))
    import asyncio  # it was meant to be asyncio's own

    return asyncio.gather(*handles)


class BatchError(RuntimeError):
    """Some of a batch failed. `results` has the others' values, and None for those."""

    def __init__(self, message: str, results: list[str | None]) -> None:
        super().__init__(message)
        self.results = results


class Handle:
    """A call that was submitted."""

    def __init__(self, call: int, index: int = 0) -> None:
        self.place = (call, index)
        self._outcome: dict[str, Any] | None = None

    def result(self) -> str:
        """Its value, waited for; or the exception that it raised."""
        if self._outcome is None:
            [self._outcome] = collect([self.place])
        return value_of(self._outcome)

    def done(self) -> bool:
        """Whether it has ended, so that `result` does not wait."""
        return self._outcome is not None or bool(ask_host("poll", [self.place]))

    def __await__(self) -> Generator[Any, None, str]:
        from _rlm_tasks import running_loop  # type: ignore[import-not-found] # it imports us

        return running_loop().waiting_for(self.place).__await__()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        call, index = self.place
        return f"<handle of call {call}{f', item {index}' if index else ''}>"


# ------------------------------------------------------------------- their other forms


def begin(kind: str, items: list[Any], extra: Any = None) -> int:
    """Submit plain calls ("llm"), `extra` being the form of their replies, or children
    ("rlm"), with `extra` their budget; the number of the call."""
    arguments = [kind, items] if kind == "llm" and extra is None else [kind, items, extra]
    call: int = ask_host("submit", arguments)
    return call


def collect(places: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Wait for submitted calls; their outcomes."""
    outcomes: list[dict[str, Any]] = ask_host("collect", [places])
    return outcomes


def value_of(outcome: dict[str, Any]) -> str:
    """What a call gives, or raises."""
    if "error" in outcome:
        raise _exception(*outcome["error"])
    if "note" in outcome:
        print(outcome["note"], file=sys.stderr)
    return outcome["text"]  # type: ignore[no-any-return]


def values_of(outcomes: list[dict[str, Any]]) -> list[str]:
    """What a batch gives, or raises."""
    failed = [at for at, outcome in enumerate(outcomes) if "error" in outcome]
    results = [None if "error" in outcome else value_of(outcome) for outcome in outcomes]
    if not failed:
        return results  # type: ignore[return-value] # none is None
    if len(outcomes) == 1:
        raise _exception(*outcomes[0]["error"])
    kind, message = outcomes[failed[0]]["error"]
    raise BatchError(
        f"{len(failed)} of {len(outcomes)} failed, number {failed[0]} with {kind}: {message}; "
        "the others' answers are in the error's `results`",
        results,
    )


def prompt_of(prompt: object) -> str:
    if not isinstance(prompt, str):
        raise TypeError(f"llm_query wants a str, not a {type(prompt).__name__}")
    return prompt


def form_of(choices: Any, schema: Any) -> list[dict[str, Any]]:
    """The argument that says what form replies must have, if they must."""
    if choices is not None and schema is not None:
        raise TypeError("give choices or a schema, not both")
    if choices is not None:
        return [{"choices": listed(choices, "choices")}]
    return [] if schema is None else [{"schema": schema}]


def query_of(question: object, context: object) -> list[object]:
    if not isinstance(question, str):
        raise TypeError(f"rlm_query wants a str for its question, not a {type(question).__name__}")
    if context is None:
        return [question]
    if context is _context and unchanged(context, _context_as_given):
        return [question, _THE_CONTEXT]
    if isinstance(context, Sequence) and not isinstance(context, str | bytes | list | tuple):
        places = getattr(context, "places", None)  # of documents that are mapped on demand
        if isinstance(places, range) and places and places.step == 1:
            return [question, {"$documents": [places.start, places.stop]}]
        context = list(context)  # held while the host reads them
    return [question, context]


def unchanged(value: object, before: object) -> bool:
    """Whether a list has the very items that it had before; other values do not change."""
    if not isinstance(value, list) or not isinstance(before, list):
        return True
    return len(value) == len(before) and all(map(operator.is_, value, before))


def one_query(query: object) -> list[object]:
    match query:
        case str():
            return [query]
        case (question, context):
            return query_of(question, context)
        case {"question": question, "context": context}:
            return query_of(question, context)
    raise TypeError("rlm_query_batched wants (question, context) pairs")


def listed(values: Any, name: str) -> list[Any]:
    if isinstance(values, str):
        raise TypeError(f"{name} wants a list, not one str")
    return list(values)


# ------------------------------------------------------------------------- the host


def provided(
    names: Iterable[str],
    context: object,
    as_given: object,
    new_partial: Callable[[], str],
    partial_told: Callable[[str], object],
) -> dict[str, object]:
    """What code gets of the host functions `names`, in a session about `context`; what that
    is at first is `as_given`.

    `new_partial` gives the partial answer, if it has changed: each call takes it along,
    since a cell that a limit ends has no result to put it into. `partial_told` is called
    when the host has it: a call that fails may not have come so far.
    """
    global _context, _context_as_given, _new_partial, _partial_told
    _context, _context_as_given = context, as_given
    _new_partial, _partial_told = new_partial, partial_told
    functions: dict[str, object] = {}
    for name in names:
        if name == "submit":
            import _rlm_tasks

            functions.update(submit=submit, gather=gather, **_rlm_tasks.FORMS)
        elif name in _OWN:
            functions[name] = _OWN[name]
        elif name not in ("collect", "poll"):
            functions[name] = _plain_function(name)
    return functions


_OWN: dict[str, Callable[..., object]] = {
    function.__name__: function
    for function in (llm_query, llm_query_batched, rlm_query, rlm_query_batched)
}


def _plain_function(name: str) -> Callable[..., object]:
    def function(*arguments: object) -> object:
        return ask_host(name, list(arguments))

    function.__name__ = function.__qualname__ = name
    return function


def ask_host(name: str, arguments: list[Any]) -> Any:
    """One host call. Raises the builtin exception that the host names."""
    request: dict[str, Any] = {"name": name, "arguments": arguments}
    if partial := _new_partial():
        request["partial"] = partial
    if name != "final":  # its pieces are long, and sent as they are
        # The arguments outlive the call, and so the texts that the host is told the places of.
        request["arguments"] = [_handed_over(each) for each in arguments]
    try:
        message = json.dumps(request, ensure_ascii=False, allow_nan=False)
        reply = json.loads(_rlm.call(message.encode("utf-8", "replace")))
    except MemoryError:
        raise MemoryError(f"the arguments of {name} are too large to hand over") from None
    if "ok" in reply:
        if partial:
            _partial_told(partial)
        return reply["ok"]
    raise _exception(*reply["error"])


def _handed_over(value: Any, depth: int = 0) -> Any:
    """`value` with its long texts replaced by where they lie."""
    if isinstance(value, str):
        return {"$text": _rlm.place(value)} if len(value) >= LONG_CHARS else value
    if depth < _DEEPEST:
        if isinstance(value, list | tuple):
            return [_handed_over(each, depth + 1) for each in value]
        if isinstance(value, dict):
            return {key: _handed_over(each, depth + 1) for key, each in value.items()}
    return value


def _exception(kind: str, text: str) -> Exception:
    raised = getattr(builtins, kind, None)
    if isinstance(raised, type) and issubclass(raised, Exception):
        try:
            return raised(text)
        except TypeError:  # of those that want more than a text
            pass
    return RuntimeError(f"{kind}: {text}")
