"""The sandbox that dialogues are played in, prompts spooled for it, how a dialogue opens."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Protocol, Self

from rlm_local import dialogue
from rlm_local.closing import Closing
from rlm_local.prompt import Prompt, prompt_from_text, prompt_from_texts
from rlm_local.records import Message
from rlm_local.sandbox import Sandbox


class Texts(Protocol):
    """What a prompt is made of: one text if `single`."""

    @property
    def texts(self) -> tuple[str, ...]: ...

    @property
    def single(self) -> bool: ...


class SandboxStage(Closing):
    """The sandbox that tasks are played in one after the other, and their spools."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._spools = tempfile.TemporaryDirectory(prefix="rlm-nano-")

    @classmethod
    def real(cls) -> Self:
        """A stage on the WebAssembly sandbox."""
        from rlm_local.wasm import WasmSandbox

        return cls(WasmSandbox())

    def prompt(self, task: Texts) -> Prompt:
        """The task's texts as a spooled prompt."""
        folder = Path(self._spools.name)
        if task.single:
            return prompt_from_text(task.texts[0], folder=folder)
        return prompt_from_texts(task.texts, folder=folder)

    def close(self) -> None:
        self._sandbox.close()
        self._spools.cleanup()


def first_messages(question: str, prompt: Prompt) -> tuple[Message, ...]:
    """The opening of the dialogue, as the controller writes it for the nano profile."""
    profile = dialogue.profile_of("nano")
    return dialogue.opening(
        profile,
        question,
        dialogue.PromptFacts(
            documents=len(prompt.documents),
            single=prompt.single,
            chars=prompt.chars,
            head=prompt.preview(profile.head_chars),
        ),
    )
