"""One REPL: its context, output, host calls, and how it is stopped."""

from __future__ import annotations

import _thread
import os
import re
import signal
import threading
import time
from collections.abc import Callable

import pytest

from rlm_local.errors import LimitReached, SandboxError
from rlm_local.records import StopReason
from rlm_local.sandbox import GuestRaise, GuestText
from rlm_local.wasm.cell import Cell
from tests.wasm.conftest import Fork, Guest

WIDTHS = {
    "ascii": "plain text, " * 50,
    "latin-1": "café à la crème ÿ " * 50,
    "ucs-2": "日本語のテキスト — ok " * 50,
    "ucs-4": "𝒜 text with 🙂 and é " * 50,
}


@pytest.mark.parametrize("text", WIDTHS.values(), ids=WIDTHS.keys())
@pytest.mark.parametrize("extra", [0, 1, 3])
def test_a_context_of_each_width(fork: Fork, text: str, extra: int) -> None:
    text += "x" * extra  # other lengths leave other bytes after the text
    guest = fork(text)
    guest.run(f"import re, copy; own = {text!r}")
    assert guest.value("context == own, hash(context) == hash(own), len(context)") == (
        f"(True, True, {len(text)})"
    )
    assert guest.value("context[10:20], context[-7:]") == repr((text[10:20], text[-7:]))
    assert guest.value("context.isascii(), context.encode() == own.encode()") == (
        f"({text.isascii()}, True)"
    )
    assert guest.value("context.split() == own.split(), own in {context}") == "(True, True)"
    assert guest.value("re.findall(r'\\w+', context) == re.findall(r'\\w+', own)") == "True"
    assert guest.value("context + '!' == own + '!', context.upper() == own.upper()") == (
        "(True, True)"
    )
    assert guest.value("context.find(own[-5:], 900) == own.find(own[-5:], 900)") == "True"


@pytest.mark.parametrize("packed", [False, True])
def test_several_documents_of_all_widths(fork: Fork, packed: bool) -> None:
    texts = [*WIDTHS.values(), "a", "é", "", "last"]
    guest = fork(*texts, packed=packed)
    guest.run(f"own = {texts!r}")
    assert guest.value("type(context).__name__, context == own") == "('list', True)"
    assert guest.value("[hash(t) for t in context] == [hash(t) for t in own]") == "True"
    assert guest.value("context_names") == repr([f"{n}.txt" for n in range(len(texts))])
    assert guest.value("sorted(context) == sorted(own), ''.join(context) == ''.join(own)") == (
        "(True, True)"
    )


def test_many_small_documents(fork: Fork) -> None:
    guest = fork(*(f"document {n}" for n in range(5000)), packed=True)
    assert guest.value("len(context), context[4999], len(set(context))") == (
        "(5000, 'document 4999', 5000)"
    )


def test_a_list_of_one_document_is_a_list(fork: Fork) -> None:
    guest = fork("only", packed=True)
    assert guest.value("context") == "'only'"


def test_a_text_that_fills_its_pages(fork: Fork) -> None:
    guest = fork("x" * (1 << 17))
    assert guest.value("len(context), context.count('x'), context[-1], context.strip('x')") == (
        "(131072, 131072, 'x', '')"
    )


def test_texts_that_are_not_quite_text_cross_the_border(fork: Fork) -> None:
    """A question from a command line that was not UTF-8; what code has made of one."""
    guest = fork("text", question="what \udcff?", host=lambda *_: "half \ud800")
    assert guest.value("ascii(question), ascii(llm_query('x'))") == (
        r"""("'what \\udcff?'", "'half \\ud800'")"""
    )


def test_the_question_and_the_names_are_there(fork: Fork) -> None:
    guest = fork("text", question="què? 日本 🙂")
    assert guest.value("question, context_names") == "('què? 日本 🙂', ['0.txt'])"


def test_output_is_kept_up_to_its_cap(fork: Fork) -> None:
    guest = fork(output_chars=100)
    ran = guest.run("print('é' * 1000); import sys; print('e' * 50, file=sys.stderr); 'v' * 1000")
    assert ran.stdout == "é" * 100
    assert ran.stdout_chars == 1001
    assert ran.stderr == "e" * 50 + "\n"
    assert ran.stderr_chars == 51
    assert ran.value is not None
    assert len(ran.value) < 200
    assert "(1,000 characters)" in ran.value


def test_output_does_not_carry_over(guest: Guest) -> None:
    guest.run("print('first')")
    assert guest.run("print('second')").stdout == "second\n"


def test_lone_surrogates_do_not_reach_the_host(guest: Guest) -> None:
    ran = guest.run("print('a\\ud800b'); '\\udfff'")
    ran.stdout.encode()
    assert ran.stdout[0] == "a"
    guest.run("FINAL('x\\ud800y')")
    assert guest.calls == [("final", ["x?y"])]


def test_code_with_any_characters_runs(guest: Guest) -> None:
    assert guest.value("s = 'é日🙂'; len(s)") == "3"
    ran = guest.run("s = '\ud800'")  # as a model's bytes may decode
    assert ran.error is None or ran.error.type in {"SyntaxError", "UnicodeEncodeError"}


def test_long_code_runs(guest: Guest) -> None:
    assert guest.value("x = 0\n" + "x += 1\n" * 2000 + f"x, {'9' * 70_000!r}[:3]") == (
        "(2000, '999')"
    )


def test_host_calls_carry_any_text_both_ways(fork: Fork) -> None:
    guest = fork(host=lambda name, arguments: arguments[0])
    text = 'quotes " \\ \n \x00 é 日 🙂' * 2000
    guest.run(f"text = {text!r}")
    assert guest.value("llm_query(text) == text") == "True"
    assert guest.value("llm_query_batched([text] * 20) == [text] * 20") == "True"
    assert guest.calls[0] == ("llm_query", [text])


def test_a_final_text_that_broke_off_is_no_part_of_the_next(guest: Guest) -> None:
    """As an interrupt, or the want of memory, may break it off between two pieces."""
    ran = guest.run(
        "class Late(str):\n"
        "    def __getitem__(self, place):\n"
        "        return super().__getitem__(place) if place.start == 0 else 1 / 0\n"
        "try:\n    FINAL(Late('x' * 3_000_000))\n"
        "except ZeroDivisionError:\n    FINAL('short')"
    )
    assert ran.error is None
    assert guest.calls == [("final", ["short"])]


def test_a_long_final_text_comes_through(guest: Guest) -> None:
    ran = guest.run("FINAL('0123456789' * 10_000_000)")
    assert ran.error is None
    ((name, (text,)),) = guest.calls
    assert name == "final"
    assert isinstance(text, str)
    assert len(text) == 100_000_000
    assert text[:10] == text[-10:] == "0123456789"


def test_a_guest_raise_is_raised_in_the_guest(fork: Fork) -> None:
    def refuse(name: str, arguments: list[object]) -> object:
        raise GuestRaise("ValueError", "the prompt has 10 tokens, and 5 fit")

    guest = fork(host=refuse)
    ran = guest.run("llm_query('x')")
    assert ran.error is not None
    assert (ran.error.type, ran.error.message) == (
        "ValueError",
        "the prompt has 10 tokens, and 5 fit",
    )
    assert guest.run("try:\n    llm_query('x')\nexcept ValueError:\n    print('caught')").stdout


def test_any_other_exception_ends_the_cell_uncatchably(fork: Fork) -> None:
    def stop(name: str, arguments: list[object]) -> object:
        raise LimitReached(StopReason.TOKENS, "no tokens left")

    guest = fork(host=stop)
    code = "went_on = 0\ntry:\n    llm_query('x')\nexcept BaseException:\n    went_on = 1"
    with pytest.raises(LimitReached, match="no tokens left") as caught:
        guest.run(code)
    assert caught.value.stop is StopReason.TOKENS
    assert guest.value("'went_on' in globals()") == "False"  # a fresh fork


def test_a_host_value_that_is_no_json_is_the_host_s_error(fork: Fork) -> None:
    guest = fork(host=lambda name, arguments: object())
    with pytest.raises(TypeError):
        guest.run("llm_query('x')")


def test_a_host_call_that_is_too_long_is_an_ordinary_error(fork: Fork) -> None:
    guest = fork("text", memory_bytes=512 << 20)
    ran = guest.run("llm_query_batched(['x' * 60_000] * 1_200)")  # each too short to be placed
    assert ran.error is not None
    assert ran.error.type == "ValueError"
    assert re.fullmatch(
        r"a host call may have 67,108,864 bytes, not 72,\d{3},\d{3}; split the text",
        ran.error.message,
    )
    assert guest.calls == []
    small = fork("text", memory_bytes=128 << 20)
    ran = small.run("llm_query_batched(['x' * 60_000] * 1_200)")
    assert ran.error is not None
    assert ran.error.type == "MemoryError"
    assert small.value("len(context)") == "4"


def test_a_long_text_is_handed_over_where_it_lies(fork: Fork) -> None:
    """It takes no memory of the guest, and the host reads it only if it wants to."""
    guest = fork("x" * (70 << 20), memory_bytes=64 << 20)
    ran = guest.run("llm_query(context)")
    assert ran.error is None
    [(name, [text])] = guest.calls
    assert name == "llm_query"
    assert isinstance(text, GuestText)
    assert text.chars == 70 << 20


def test_a_long_text_of_any_width_is_read_as_it_is(fork: Fork) -> None:
    read: list[tuple[str, str]] = []

    def host(name: str, arguments: list[object]) -> object:
        [text] = arguments
        assert isinstance(text, GuestText)
        read.append((text.read(), "".join(text.pieces())))
        return None

    guest = fork("text", host=host)
    for half, count in (("a", 70_000), ("aÿ", 40_000), ("aé日", 500_000), ("a🙂", 40_000)):
        guest.value(f"llm_query({half!r} * {count})")
        assert read[-1] == (half * count, half * count)


@pytest.mark.parametrize(
    "place",
    [
        "[0, -1, 1, true]",
        "[-1, 10, 1, true]",
        "[0, 99999999999, 1, true]",
        "[4294967295, 10, 4, false]",
        "[0, 10, 3, false]",
        "[0, 10, 0, false]",
        "[0, 10, 1]",
        "[0.5, 10, 1, true]",
        "null",
        "{}",
        "[18446744073709551615, 18446744073709551615, 4, false]",
    ],
)
def test_a_forged_place_is_an_ordinary_error(guest: Guest, place: str) -> None:
    request = f'{{"name": "llm_query", "arguments": [{{"$text": {place}}}]}}'
    said = guest.value(f"import _rlm\n_rlm.call({request.encode()!r})")
    assert said is not None
    assert "ValueError" in said
    assert guest.calls == []


def test_a_bootstrap_that_was_tampered_with_cannot_show_more(fork: Fork) -> None:
    guest = fork(output_chars=100)
    guest.run("import _rlm_bootstrap as b; b.shown = lambda value, cap: 'x' * 10**6")
    shown = guest.value("1")
    assert shown is not None
    assert len(shown) == 1200
    guest.run("b._session.execute = lambda source: {'value': 5, 'error': None}")
    assert guest.run("1").restarted
    assert guest.value("1") == "1"


def test_functions_that_were_not_given_are_not_there(fork: Fork) -> None:
    guest = fork(functions=["llm_query"])
    assert guest.value("'llm_query_batched' in globals()") == "False"
    reached = guest.value('import _rlm; _rlm.call(b\'{"name":"rlm_query","arguments":[]}\')')
    assert reached is not None
    assert "NameError" in reached
    assert guest.calls == []


def test_time_in_host_calls_is_counted_apart(fork: Fork) -> None:
    guest = fork(host=lambda name, arguments: time.sleep(0.3))
    ran = guest.run("llm_query('x'); llm_query('y')", cell_seconds=0.2)
    assert ran.error is None
    assert ran.host_seconds == pytest.approx(0.6, abs=0.2)
    assert ran.seconds < 0.2


def test_the_deadline_counts_host_calls(fork: Fork) -> None:
    guest = fork(host=lambda name, arguments: time.sleep(0.3))
    ran = guest.run("while True: llm_query('x')", wall_seconds=0.7)
    assert ran.error is not None
    assert "the time of the whole run is over" in ran.error.message


def test_a_deadline_stops_code_that_goes_on(guest: Guest) -> None:
    started = time.monotonic()
    ran = guest.run(
        "while True:\n try:\n  while True: pass\n except BaseException: pass", wall_seconds=0.3
    )
    assert time.monotonic() - started < 0.8
    assert ran.restarted
    assert ran.error is not None
    assert "the time of the whole run is over" in ran.error.message


def test_a_deadline_that_has_passed_stops_at_once(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cell, "LAST_GRACE_SECONDS", 60.0)  # a starved machine needs more
    started = time.monotonic()
    ran = guest.run("while True: pass", wall_seconds=-5)
    assert time.monotonic() - started < 0.5
    assert ran.error is not None
    assert ran.error.type == "KeyboardInterrupt"


def test_an_interrupt_before_the_first_instruction_is_not_lost(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cell, "LAST_GRACE_SECONDS", 60.0)
    for _ in range(40):
        started = time.monotonic()
        assert not guest.run("while True: pass", wall_seconds=-5).restarted
        assert time.monotonic() - started < 20


def test_output_before_a_stop_is_kept(guest: Guest) -> None:
    ran = guest.run("print('so far')\nimport os\nos.abort()")
    assert ran.restarted
    assert ran.stdout == "so far\n"


def test_an_interrupt_meant_for_one_cell_does_not_hit_the_next(guest: Guest) -> None:
    for _ in range(30):
        guest.run("x = 0\nfor i in range(3000): x += i", cell_seconds=0.001)
        assert guest.value("sum(range(100))") == "4950"


def test_interrupt_from_another_thread(guest: Guest) -> None:
    threading.Timer(0.2, guest.repl.interrupt).start()
    started = time.monotonic()
    ran = guest.run("while True: pass")
    assert time.monotonic() - started < 0.7
    assert ran.restarted
    assert ran.error is not None
    assert ran.error.message.endswith("it was interrupted from outside")
    assert guest.value("1 + 1") == "2"


def test_interrupt_during_a_host_call(fork: Fork) -> None:
    guest = fork(host=lambda name, arguments: time.sleep(0.4))
    threading.Timer(0.1, guest.repl.interrupt).start()
    ran = guest.run("while True: llm_query('x')")
    assert ran.restarted
    assert len(guest.calls) == 1


def test_interrupt_with_nothing_running_does_nothing(guest: Guest) -> None:
    guest.repl.interrupt()
    assert guest.value("1 + 1") == "2"


def send_sigint() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("interrupt", [send_sigint, _thread.interrupt_main])
def test_ctrl_c_comes_out_at_once(guest: Guest, interrupt: Callable[[], None]) -> None:
    threading.Timer(0.2, interrupt).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        guest.run("while True: pass")
    assert time.monotonic() - started < 0.7
    assert guest.value("1 + 1") == "2"


def test_a_guest_that_runs_in_a_host_call_of_another(fork: Fork) -> None:
    child = fork("child context")
    parent = fork("parent context", host=lambda name, arguments: child.run(str(arguments[0])).value)
    assert (
        parent.value("llm_query('context'), context") == "(\"'child context'\", 'parent context')"
    )


def test_forks_are_independent(fork: Fork) -> None:
    first, second = fork("same"), fork("same")
    first.run("x = 1; import json; json.dumps = None")
    assert second.value("'x' in globals(), json.dumps(1) if 'json' in globals() else 0") == (
        "(False, 0)"
    )
    assert second.value("import json; json.dumps([1])") == "'[1]'"


def test_many_forks_at_once(fork: Fork) -> None:
    guests = [fork(f"context {n}") for n in range(40)]
    for n, guest in enumerate(guests):
        guest.run(f"mine = {n}")
    assert [guest.value("mine, context") for guest in guests] == [
        f"({n}, 'context {n}')" for n in range(40)
    ]


def test_guests_run_in_parallel_threads(fork: Fork) -> None:
    guests = [fork(f"{n} " * 100) for n in range(4)]
    seen: dict[int, str | None] = {}

    def work(n: int) -> None:
        for _ in range(20):
            seen[n] = guests[n].value("sum(map(int, context.split()))")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {n: str(100 * n) for n in range(4)}


def test_a_closed_repl_says_so(guest: Guest) -> None:
    guest.repl.close()
    guest.repl.close()
    with pytest.raises(SandboxError, match="closed"):
        guest.run("1")


def test_closing_ends_a_running_cell(guest: Guest) -> None:
    threading.Timer(0.2, guest.repl.close).start()
    ran = guest.run("while True: pass")
    assert ran.restarted


def test_one_cell_at_a_time(fork: Fork) -> None:
    guest = fork(host=lambda name, arguments: guest.run("1"))
    with pytest.raises(SandboxError, match="running another cell"):
        guest.run("llm_query('x')")


def test_a_memory_limit_below_python_s_own_need_is_refused(fork: Fork) -> None:
    with pytest.raises(SandboxError, match="needs") as caught:
        fork(memory_bytes=1 << 20)
    assert "guest_memory_bytes" in caught.value.hint
