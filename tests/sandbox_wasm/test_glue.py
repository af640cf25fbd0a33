"""The exports, one by one, and what the bootstrap's `_rlm` gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import wasmtime

from tests.sandbox_wasm.bare import BareGuest

Start = Callable[..., BareGuest]


def test_init_gives_a_python_of_the_pinned_version(bare: BareGuest) -> None:
    from recipe import source

    assert bare.status == 0
    assert bare.value("import sys; sys.version.split()[0]") == repr(source.VERSION)
    assert bare.value("sys.platform") == "'wasi'"


def test_init_fails_cleanly_without_memory(start: Start) -> None:
    needed = start().size
    guest = start(memory_bytes=needed - (2 << 20))
    box = guest.box()
    assert guest.status == -1
    assert guest.read(box.err_ptr, box.err_len)


# ------------------------------------------------------------------ the input buffer


def test_the_buffer_grows_and_keeps_its_place_when_it_is_large_enough(bare: BareGuest) -> None:
    place = bare.call("rlm_buffer", 1 << 20)
    box = bare.box()
    assert (box.in_ptr, box.in_cap) == (place, 1 << 20)
    assert bare.call("rlm_buffer", 10) == place
    bare.call("rlm_buffer", 2 << 20)
    assert bare.box().in_cap == 2 << 20


def test_a_buffer_that_does_not_fit_is_refused_and_the_next_one_is_not(start: Start) -> None:
    guest = start(memory_bytes=128 << 20)
    guest.setup()
    assert guest.call("rlm_buffer", 120 << 20) == 0
    assert guest.call("rlm_buffer", -1) == 0  # 4 GiB less one byte
    assert guest.box().in_cap == 0
    assert guest.value("1+1") == "2"


@pytest.mark.parametrize("export", ["rlm_exec", "rlm_setup"])
def test_a_length_beyond_the_buffer_is_refused(bare: BareGuest, export: str) -> None:
    bare.call(export, bare.box().in_cap + 1)
    assert bare.result()["error"]["type"] == "ValueError"


# --------------------------------------------------------------------------- setup


def test_a_setup_that_cannot_be_read_says_why(start: Start) -> None:
    guest = start()
    assert guest.call("rlm_setup", guest.put(b"{")) == -1
    assert guest.result()["error"]["type"] == "JSONDecodeError"
    assert guest.setup() is None  # and can be made again


# ---------------------------------------------------------------------------- exec


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("import sys; sys.exit('bye')", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("1/0", "ZeroDivisionError"),
        ("(", "SyntaxError"),
        ("a\0b", "SyntaxError"),
        (b"\xff", "UnicodeDecodeError"),
        ("'\ud800'", "UnicodeEncodeError"),  # as CPython says of source with a lone surrogate
    ],
)
def test_an_exception_is_data(bare: BareGuest, source: str | bytes, error: str) -> None:
    ran = bare.run(source)
    assert (ran.status, ran.error) == (0, error)
    assert bare.value("1+1") == "2"


def test_an_exception_of_the_bootstrap_itself_is_data(bare: BareGuest) -> None:
    bare.run("import _rlm_bootstrap as b; b._as_json = None")
    ran = bare.run("'of this cell, nothing can be reported'")
    assert (ran.status, ran.error) == (0, "TypeError")


def test_a_result_that_is_no_json_of_ours_is_a_failure(bare: BareGuest) -> None:
    class_of_text = "type('T', (str,), {'encode': lambda *a: 'not bytes'})"
    code = f"import _rlm_bootstrap as b; b._as_json = lambda result: {class_of_text}('x'); 1"
    assert bare.call("rlm_exec", bare.put(code.encode())) == -1
    assert bare.box().result_len == 0


def test_atexit_and_threads_do_not_end_the_guest(bare: BareGuest) -> None:
    assert bare.run("import threading; threading.Thread(target=print).start()").error
    assert bare.run("import atexit; atexit._run_exitfuncs()").error is None
    assert bare.value("1+1") == "2"


@pytest.mark.parametrize("source", ["os.abort()", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_what_ends_a_process_does_not_run_on(bare: BareGuest, source: str) -> None:
    try:
        ran = bare.run("import os\n" + source)
    except wasmtime.Trap:
        return
    assert ran.error in ("AttributeError", "OSError")


# ------------------------------------------------------------------------ interrupts


def test_an_interrupt_raises_keyboard_interrupt_and_variables_survive(start: Start) -> None:
    def host(request: bytes) -> bytes:
        guest.interrupt()
        return b'{"ok": null}'

    guest = start(host=host)
    guest.setup(functions=["stop"])
    ran = guest.run("x = 5\nstop(1)\nwhile True: pass")
    assert (ran.status, ran.error) == (0, "KeyboardInterrupt")
    assert guest.value("x") == "5"


def test_an_interrupt_before_the_first_instruction_is_the_cells(bare: BareGuest) -> None:
    bare.interrupt()
    assert bare.run("while True: pass").error == "KeyboardInterrupt"
    assert bare.value("sum(range(1000))") == "499500"


def test_an_interrupt_that_the_host_forgets_is_no_cells(bare: BareGuest) -> None:
    bare.interrupt()
    bare.forget_interrupt()
    assert bare.value("sum(range(1000))") == "499500"


def test_an_interrupt_ends_a_regular_expression(start: Start) -> None:
    def host(request: bytes) -> bytes:
        guest.interrupt()
        return b'{"ok": null}'

    guest = start(host=host)
    guest.setup(functions=["stop"])
    ran = guest.run("import re\nstop(1), re.match(r'(a+)+$', 'a' * 40 + 'b')")
    assert ran.error == "KeyboardInterrupt"


# ---------------------------------------------------------------------------- capture


def test_output_is_captured_as_utf8_and_counted_in_characters(bare: BareGuest) -> None:
    ran = bare.run("print('aé€😀\\ud800')\nimport sys; sys.stderr.write('oops')")
    assert ran.out == "aé€😀\ud800\n".encode("utf-8", "surrogatepass")
    assert ran.err == b"oops"
    assert (bare.box().out_chars, bare.box().err_chars) == (6, 4)


def test_each_cell_starts_with_nothing_captured(bare: BareGuest) -> None:
    bare.run("print('x' * 100)")
    assert bare.run("1").out == b""
    assert bare.box().out_chars == 0


@pytest.mark.parametrize("cap", range(13))
def test_the_cap_cuts_on_a_character_and_leaves_no_holes(bare: BareGuest, cap: int) -> None:
    bare.write_box(28, cap)
    text = "aé€😀b"
    ran = bare.run(f"print({text!r}, end='')\nprint('z', end='')")
    whole = (text + "z").encode()
    assert whole.startswith(ran.out)
    assert ran.out == whole[:cap].decode("utf-8", "ignore").encode()
    assert bare.box().out_chars == 6


@pytest.mark.parametrize("cap", range(9))
def test_raw_writes_are_captured_and_cut_in_the_same_way(bare: BareGuest, cap: int) -> None:
    bare.write_box(48, cap)
    ran = bare.run("import os; os.write(2, 'é€b'.encode()); os.write(2, b'c')")
    assert ran.err == "é€bc".encode()[:cap].decode("utf-8", "ignore").encode()
    assert bare.box().err_chars == 4


def test_a_cap_that_is_larger_than_the_buffer_is_not_believed(bare: BareGuest) -> None:
    size = bare.box().out_cap
    bare.write_box(28, 0xFFFFFFFF)
    assert len(bare.run(f"print('x' * {size + 10})").out) == size
    assert bare.box().out_chars == size + 11
    assert bare.value("1+1") == "2"


def test_write_refuses_what_it_does_not_know(bare: BareGuest) -> None:
    bare.run("import _rlm")
    assert bare.run("_rlm.write(3, 'x')").error == "ValueError"
    assert bare.run("_rlm.write(1, b'x')").error == "TypeError"
    assert bare.run("_rlm.write('1', 'x')").error == "TypeError"
    assert bare.run("_rlm.write()").error == "TypeError"


# -------------------------------------------------------------------------- host calls


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 5 << 20])
def test_a_reply_of_any_size_arrives_whole(start: Start, size: int) -> None:
    reply = bytes(i * 7 % 251 for i in range(min(size, 4096))) * (size // 4096 + 1)
    guest = start(host=lambda request: reply[:size])
    guest.setup()
    guest.run("import _rlm, hashlib\nreply = _rlm.call(b'x')")
    import hashlib

    expected = (size, hashlib.sha256(reply[:size]).hexdigest())
    assert guest.value("(len(reply), hashlib.sha256(reply).hexdigest())") == repr(expected)


def test_the_request_arrives_as_it_was_sent(start: Start) -> None:
    seen: list[bytes] = []

    def host(request: bytes) -> bytes:
        seen.append(request)
        return b""

    guest = start(host=host)
    guest.setup()
    guest.run("import _rlm\nfor n in (0, 1, 3_000_000): _rlm.call(b'\\xff' * n)")
    assert seen == [b"", b"\xff", b"\xff" * 3_000_000]
    assert guest.run("_rlm.call('text')").error == "TypeError"


def test_a_host_that_ends_the_cell_cannot_be_caught(start: Start) -> None:
    guest = start(host=lambda request: None)
    guest.setup(functions=["llm_query"])
    with pytest.raises(wasmtime.Trap):
        guest.run("try:\n    llm_query('x')\nexcept BaseException:\n    pass\nwhile True: pass")


# ------------------------------------------------------------------------ determinism


def test_hashes_and_orders_do_not_depend_on_the_hosts_random_bytes(start: Start) -> None:
    code = "[hash('a'), hash(b'b'), list({'x', 'y', 'z', 'w'})]"
    values = []
    for byte in (1, 2):
        guest = start(random_byte=byte)
        guest.setup()
        assert guest.value("import os; os.urandom(3)") == repr(bytes([byte]) * 3)
        values.append(guest.value(code))
    assert values[0] == values[1]


def test_the_clock_and_sleep_are_the_hosts(bare: BareGuest) -> None:
    assert bare.value("import time; int(time.time())") == str(10**9)
    before = bare.now_ns
    bare.value("time.sleep(2.5)")
    assert 2.5 <= (bare.now_ns - before) / 1e9 < 2.501
