"""docs/security.md and the tests say the same."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "security.md"


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)?\.py)`", PAGE.read_text()))
    assert {name for name in named if not (TESTS / name).is_file()} == set()


def test_every_family_of_attacks_is_on_the_page() -> None:
    families = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    families -= {Path(__file__).name}
    assert {name for name in families if name not in PAGE.read_text()} == set()
