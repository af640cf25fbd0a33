"""Text operations over a mapped prompt, beside the same on this very CPython.

    python -m bench.text            40 MB
    python -m bench.text 10         another size, in MB
    python -m bench.text 40 lower   only the operations whose name has that in it

The guest's text is mapped, the other is a `str` that this process has read. Both
take turns; a figure is the median of several runs, in milliseconds of processor time,
which what else the machine does hardly changes.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.report import report
from rlm_local.prompt import Prompt, open_prompt
from rlm_local.wasm import WasmRepl, WasmSandbox

MB = 1_000_000
REPEATS = 5
#: 40 MB in words take eight times that as a list.
MEMORY_BYTES = 2 << 30
_WORDS = (
    *("the mill at the river was closed in winter and nobody asked", "INFO accepted connection"),
    *("Quick brown foxes JUMP over lazy dogs", "request served in 35 ms", "ERR-%d while reading"),
)

#: Name and code; `text` is the prompt, `re` and `json` are imported. What it gives is
#: an int, to be compared.
OPERATIONS = {
    "in, absent": "int('not to be found' in text)",
    "find, absent": "text.find('zebra crossing')",
    "find, at the end": "text.find('the very last words')",
    "rfind, absent": "text.rfind('zebra crossing')",
    "count newline": "text.count('\\n')",
    "count word": "text.count('river')",
    "findall ERR": "len(re.findall(r'ERR-\\d+', text))",
    "findall words": "len(re.findall(r'\\b\\w{9}\\b', text))",
    "split": "len(text.split())",
    "split comma": "len(text.split(','))",
    "splitlines": "len(text.splitlines())",
    "lower": "len(text.lower())",
    "upper": "len(text.upper())",
    "casefold": "len(text.casefold())",
    "replace": "len(text.replace('river', 'stream'))",
    "slice": "len(text[1:])",
    "hash": "hash(text[1:]) and 1",
    "encode": "len(text.encode())",
    "isascii": "int(text.isascii())",
    "iterate": "sum(1 for line in text.splitlines() if 'ERR' in line)",
}
JSON_OPERATIONS = {"json.loads": "len(json.loads(text))"}

#: What models ask of a text most.
USUAL = (
    *("in, absent", "find, absent", "count newline", "findall ERR"),
    *("split", "splitlines", "lower", "json.loads"),
)


def main() -> None:
    arguments = sys.argv[1:]
    size = int(arguments[0]) * MB if arguments else 40 * MB
    wanted = arguments[1] if len(arguments) > 1 else ""
    rows: list[dict[str, object]] = []
    with (
        tempfile.TemporaryDirectory(dir=Path(__file__).parent) as name,
        WasmSandbox(notice=print) as sandbox,
    ):
        sandbox.prepare()
        folder = Path(name)
        plain, records = write_log(folder / "log.txt", size), write_json(folder / "a.json", size)
        for source, operations in ((plain, OPERATIONS), (records, JSON_OPERATIONS)):
            chosen = {key: code for key, code in operations.items() if wanted in key}
            if chosen:
                with open_prompt([source], folder=folder / "spool") as prompt:
                    rows += compared(sandbox, prompt, source.read_text(), chosen)
    report("text", rows)
    usual = [float(str(row["ratio"])) for row in rows if row["what"] in USUAL]
    if usual:
        print(f"median ratio of what is usual: {statistics.median(usual):.2f}")


def compared(
    sandbox: WasmSandbox, prompt: Prompt, text: str, operations: dict[str, str]
) -> list[dict[str, object]]:
    """Every operation in a fork and here, by turns."""
    rows: list[dict[str, object]] = []
    names = {"text": text, "re": re, "json": json}
    for what, code in operations.items():
        native, guest = [], []
        compiled = compile(code, "cell", "eval")
        with fork(sandbox, prompt) as repl:
            run(repl, "import re, json; text = context")
            expected = eval(compiled, names)
            if int(run(repl, code)) != expected:
                raise RuntimeError(f"{what}: the guest found another value than {expected}")
            for _ in range(REPEATS):
                began = time.process_time()
                eval(compiled, names)
                between = time.process_time()
                run(repl, code)
                guest.append(time.process_time() - between)
                native.append(between - began)
        took, took_here = statistics.median(guest), statistics.median(native)
        rows.append(
            {
                "what": what,
                "guest_ms": 1e3 * took,
                "native_ms": 1e3 * took_here,
                "ratio": took / took_here,
            }
        )
    return rows


def fork(sandbox: WasmSandbox, prompt: Prompt) -> WasmRepl:
    return sandbox.repl(
        prompt,
        question="what?",
        host=lambda name, arguments: None,
        functions=[],
        memory_bytes=MEMORY_BYTES,
        output_chars=4000,
    )


def run(repl: WasmRepl, code: str) -> str:
    ran = repl.execute(code, deadline=time.monotonic() + 600, cell_seconds=600)
    if ran.error is not None:
        raise RuntimeError(ran.error.message)
    return ran.value or ""


def write_log(path: Path, size: int) -> Path:
    end = "the very last words\n"
    with path.open("w") as file:
        number = 0
        while file.tell() < size - len(end):
            lines = (
                f"{number + each:09d}, {_WORDS[each % len(_WORDS)].replace('%d', str(each))}\n"
                for each in range(10_000)
            )
            file.write("".join(lines))
            number += 10_000
        file.write(end)
    return path


def write_json(path: Path, size: int) -> Path:
    records = (
        {"id": number, "name": f"user {number}", "ratio": number / 7, "tags": ["a", "é", None]}
        for number in range(size // 86)
    )
    path.write_text(json.dumps(list(records)))
    return path


if __name__ == "__main__":
    main()
