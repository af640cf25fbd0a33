"""Questions composed of a lead, a core and a tail; a family brings the cores."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.nano.lexicon import ADVERBS, Split, pseudo_word

_LEADS = ("",) * 5 + (
    "According to the text, ",
    "From the context: ",
    "Hello! ",
    "Quick question: ",
    "In this file, ",
    "Please help: ",
    "Look at the data. ",
)
_TAILS = ("",) * 5 + (
    " Answer with the result only.",
    " Be brief.",
    " Thank you.",
    " It is all in the text.",
    " No explanation.",
)
_HELD_LEADS = ("", "", "Having read everything: ", "I wonder, ", "For the report: ")
_HELD_TAILS = ("", "", " Nothing else, please.", " One answer is enough.")


@dataclass(frozen=True)
class Wording:
    """The cores of one kind of question. `{name}` is filled; words between bars are
    alternatives: `the (last|final) one`."""

    cores: Sequence[str]
    held: Sequence[str]

    def ask(
        self,
        rng: random.Random,
        split: Split,
        *,
        plain_lead: bool = False,
        tail: bool = True,
        **fields: object,
    ) -> str:
        """A question with these fields. `plain_lead`: nothing stands before it; `tail`:
        something may stand after it."""
        core = rng.choice(self.held if split == "held" else self.cores)
        if split == "train":
            core = turned(rng, core, str(fields.get("c", "")))
        while "|" in core:
            start = core.rindex("(", 0, core.index("|"))
            end = core.index(")", start)
            choice = rng.choice(core[start + 1 : end].split("|"))
            core = core[:start] + choice + core[end + 1 :]
        text = core.format(**fields).lstrip(" ,")
        leads, tails = (_HELD_LEADS, _HELD_TAILS) if split == "held" else (_LEADS, _TAILS)
        lead, last = rng.choice(leads), rng.choice(tails) if tail else ""
        if plain_lead:
            lead = ""
        elif split == "train" and rng.random() < 0.3:
            lead = aside(rng)
        spelled = not lead and core.startswith("{")  # a key keeps its spelling
        text = lead + text + last
        return text if spelled or rng.random() < 0.2 else text[0].upper() + text[1:]

    def variants(self) -> int:
        """How many cores training has, alternatives multiplied out."""
        total = 0
        for core in self.cores:
            ways, rest = 1, core
            while "|" in rest:
                start = rest.rindex("(", 0, rest.index("|"))
                end = rest.index(")", start)
                ways *= len(rest[start + 1 : end].split("|"))
                rest = rest[:start] + rest[end + 1 :]
            total += ways
        return total


#: What a question may be wrapped into, where it begins with a word like "which".
_WRAPS = (
    "tell me {}",
    "I want to know {}",
    "can you say {}",
    "please find out {}",
    "do you know {}",
    "it is asked {}",
    "we would like to see {}",
)


_ASKS = re.compile(r"(?:in |to |by |for )?(?:which|what|how|who|where|whose)\b")


def turned(rng: random.Random, core: str, condition: str) -> str:
    """A core, now and then wrapped into a request, or with its condition put first."""
    if rng.random() < 0.15 and _ASKS.match(core):
        core = rng.choice(_WRAPS).format(core)
    if condition and "{c}" in core and " {c}" not in core and rng.random() < 0.12:
        core = "{c}, " + core.replace("{c}", "")
    return core


def aside(rng: random.Random) -> str:
    """Words before a question that mean nothing and name nothing."""
    adverb = rng.choice(ADVERBS.split())
    return rng.choice(
        (
            f"{adverb.capitalize()}, ",
            f"{pseudo_word(rng)} {pseudo_word(rng)}: ",
            f"We {adverb} ask: ",
            f"With the {pseudo_word(rng)} in mind, ",
            f"{pseudo_word(rng).capitalize()} {adverb} wants to know: ",
        )
    )
