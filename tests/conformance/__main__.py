"""Run CPython's tests in the guest, and write down what they gave.

python -m tests.conformance            all modules; some 15 minutes of one core
python -m tests.conformance test_re    some, the others as they were
"""

from __future__ import annotations

import sys

from tests.conformance import table
from tests.conformance.suite import Suite


def main() -> None:
    modules = table.expected().modules
    known = table.results() if table.RESULTS.is_file() else {}
    found = {name: result for name, result in known.items() if name in modules}
    with Suite() as suite:
        for name in sys.argv[1:] or modules:
            run = suite.run(name)
            found[name] = table.result_of(run)
            print(
                f"{name}: {run.count('passed')} passed, {run.count('failed')} failed, "
                f"{run.count('skipped')} skipped in {run.seconds:.1f} s {run.skipped}",
                flush=True,
            )
            table.write(found)
    for test in table.unexplained(found, table.expected().reason):
        print(f"no reason is given for {test}")


if __name__ == "__main__":
    main()
