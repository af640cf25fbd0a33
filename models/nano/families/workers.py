"""Family g: what sub-calls are asked to do: label a text, read a value, say yes or no.

A label is answered by its name, which training knows; a reading by a mark ("name 2"), so that
nothing need be spelled; a part of the readings asks for the value itself, so that spelling grows
with the model.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from models.nano.families import reports, topics
from models.nano.lexicon import Split

ROLES = ("label", "read", "yes-no", "spell")
#: How often each is drawn: as much as there is to learn, and a little spelling.
_SHARES = (4, 8, 3, 1)


@dataclass(frozen=True)
class Worker:
    """One sub-call: its prompt, the right reply, and the chance of guessing it."""

    role: str
    seed: int
    prompt: str
    reply: str
    chance: float


def worker(seed: int, split: Split, role: str | None = None) -> Worker:
    """The sub-call of that seed, of that role or of any."""
    rng = random.Random(f"workers-{split}-{seed}")
    role = role or rng.choices(ROLES, _SHARES)[0]
    if role in ("read", "spell"):
        return _reading(rng, seed, split, role)
    labels = topics.draw(rng)
    label = rng.choice(labels.names)
    text = labels.text(rng, split, label)
    if role == "label":
        prompt = f"Which fits? {'; '.join(labels.names)}\n{text}"
        return Worker(role, seed, prompt, topics.reply(prompt), 1 / len(labels.names))
    asked = label if rng.random() < 0.5 else rng.choice([n for n in labels.names if n != label])
    return Worker(
        role, seed, f"Does {asked} fit? yes or no\n{text}", "yes" if asked == label else "no", 0.5
    )


def role_of(prompt: str) -> str:
    """What a sub-call asks for, by the words that its prompt has."""
    if prompt.startswith("Which fits?"):
        return "label"
    if prompt.startswith("Does "):
        return "yes-no"
    return "read" if prompt.endswith("Which one?") else "spell"


def _reading(rng: random.Random, seed: int, split: Split, role: str) -> Worker:
    """A report, with what could be the answer marked as the reading program does."""
    report, question, gold = reports.report(rng, split)
    if role == "spell":
        return Worker(role, seed, f"{report}\n{question}\nCopy the answer.", gold, 0.0)
    marked, mark, chance = reports.marked(report, question, gold)
    return Worker(role, seed, f"{marked}\n{question}\nWhich one?", mark, chance)
