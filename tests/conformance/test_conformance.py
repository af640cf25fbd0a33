"""CPython's tests in the guest give what is written down, no less and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import table
from tests.conformance.suite import Suite
from tests.sandbox_wasm.conftest import guest_path

__all__ = ["guest_path"]

EXPECTED = table.expected()
RESULTS = table.results()


@pytest.fixture(scope="module")
def suite(guest_path: Path) -> Iterator[Suite]:
    with Suite(guest_path) as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("module", EXPECTED.modules)
def test_a_module_gives_what_is_written_down(module: str, suite: Suite) -> None:
    result = table.result_of(suite.run(module))
    written = RESULTS[module]
    assert result.failed.keys() == written.failed.keys()
    assert (result.passed, result.skipped) == (written.passed, written.skipped)
    assert result.skipped_whole == written.skipped_whole


def test_every_module_has_its_results() -> None:
    assert sorted(RESULTS) == sorted(EXPECTED.modules)


def test_every_failure_has_a_reason() -> None:
    assert table.unexplained(RESULTS, EXPECTED.reason) == []


def test_every_reason_has_a_failure() -> None:
    failed = [test for result in RESULTS.values() for test in result.failed]
    for reason in EXPECTED.reason:
        for pattern in reason.tests:
            one = table.Reason(why="", tests=[pattern])
            assert any(map(one.covers, failed)), pattern


def test_the_page_is_that_of_the_results() -> None:
    assert table.PAGE.read_text() == table.page(RESULTS, EXPECTED.reason)


def test_what_matters_most_passes_whole() -> None:
    for module in ("test_re", "test_str", "test_json.test_decode", "test_collections"):
        assert RESULTS[module].failed == {}, module
        assert RESULTS[module].passed
