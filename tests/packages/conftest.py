"""The guest under test, as for the sandbox's own tests."""

from tests.sandbox_wasm.conftest import guest_path

__all__ = ["guest_path"]
