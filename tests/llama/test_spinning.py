"""How a worker's threads wait for each other is said before it loads llama.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel, spinning


@pytest.mark.parametrize(("asked", "given"), [(None, str(spinning.ROUNDS)), ("7", "7")])
def test_the_worker_spins_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tiny_path: Path, asked: str | None, given: str
) -> None:
    monkeypatch.delenv(spinning.SETTING, raising=False)
    if asked:
        monkeypatch.setenv(spinning.SETTING, asked)
    with LlamaModel(tiny_path, memory_bytes=512 * MIB) as model:
        environment = Path(f"/proc/{model.pid}/environ").read_text().split("\0")
    assert f"{spinning.SETTING}={given}" in environment
    assert "OMP_WAIT_POLICY=passive" in environment
