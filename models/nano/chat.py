"""The chat template of rlm-nano: in the GGUF at run time, and here for its training text."""

from __future__ import annotations

from collections.abc import Sequence

from rlm_local.records import Message

END = "<|end|>"
ROLES = ("system", "user", "assistant")
#: In the order of their token ids, which begin at 0.
SPECIAL_TOKENS = (END, *(f"<|{role}|>" for role in ROLES), "<|pad|>")

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def opening(role: str) -> str:
    """What stands before a message of that role."""
    return f"<|{role}|>"


def render(messages: Sequence[Message]) -> str:
    """The whole dialogue as `TEMPLATE` writes it, without a prompt for the next turn."""
    return "".join(opening(m.role) + m.content + END for m in messages)
