"""Questions composed of a lead, a core and a tail; a family brings the cores."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from models.nano import asides, phrasing
from models.nano.lexicon import Split

_HELD_LEADS = ("", "", "Having read everything: ", "I wonder, ", "For the report: ")
_HELD_TAILS = ("", "", " Nothing else, please.", " One answer is enough.")
#: How often a core of training is a written one, one composed of a frame and a phrase, and one of
#: the short list, where there are such.
_SHARES = (5, 3, 2)
#: How many of training's plurals are right; others have an "s" whatever the word.
_WELL_SPELLED = 0.85


@dataclass(frozen=True)
class Wording:
    """The cores of one kind of question. `{name}` is filled; words between bars are
    alternatives: `the (last|final) one`. Training also has the phrases of `more` in frames, and
    what was `written` by people who had not seen `held`."""

    cores: Sequence[str]
    held: Sequence[str]
    more: phrasing.Composed | None = None
    written: Sequence[str] = ()

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
        if split == "train":
            return self._trained(rng, plain_lead=plain_lead, tail=tail, fields=fields)
        core = rng.choice(self.held)
        text = core.format(**fields).lstrip(" ,")
        lead, last = rng.choice(_HELD_LEADS), rng.choice(_HELD_TAILS) if tail else ""
        lead = "" if plain_lead else lead
        spelled = not lead and core.startswith("{")  # a key keeps its spelling
        text = lead + text + last
        return text if spelled or rng.random() < 0.2 else capital(text)

    def _trained(
        self, rng: random.Random, *, plain_lead: bool, tail: bool, fields: dict[str, object]
    ) -> str:
        core = self.core(rng, str(fields.get("c", "")))
        bare = plain_lead and rng.random() < 0.7
        lead = "" if bare else phrasing.fresh(lambda: asides.lead(rng), _HELD_LEADS)
        last = phrasing.fresh(lambda: asides.tail(rng), _HELD_TAILS) if tail else ""
        if core[-1] in ".?" and not last and tail:
            core = core[:-1] + rng.choice((core[-1],) * 8 + ("", "", " " + core[-1], core[-1] * 2))
        if "b" in fields and rng.random() < _WELL_SPELLED:
            core = core.replace("{b}s", plural(str(fields["b"])))
        text = core.format(**fields).lstrip(" ,")
        capitals = 0.3 if lead.endswith((", ", "- ")) else 0.8
        if not core.startswith("{") and rng.random() < capitals:
            text = capital(text)
        return (lead + text + last).strip()

    def core(self, rng: random.Random, condition: str = "") -> str:
        """One of training's cores, its alternatives chosen; never one that is held out."""

        def one() -> str:
            sources = (self.written, self._templates, self.cores)
            shares = [share * bool(source) for share, source in zip(_SHARES, sources, strict=True)]
            source = rng.choices(sources, shares)[0]
            if source is self._templates:
                return phrasing.one_of(rng, source)
            core = phrasing.pick(rng, turned(rng, rng.choice(source), condition))
            return phrasing.swapped(rng, core)

        return phrasing.fresh(one, self.held)

    @cached_property
    def _templates(self) -> list[str]:
        return self.more.templates() if self.more else []

    def variants(self) -> int:
        """How many cores training has, alternatives multiplied out, words not replaced."""
        return sum(map(phrasing.ways, (*self.cores, *self.written, *self._templates)))


def plural(noun: str) -> str:
    """More than one of it: "cities", "keys", "statuses"."""
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(s|x|z|ch|sh)$", noun) else "s")


def capital(text: str) -> str:
    """With a capital letter first."""
    return text[0].upper() + text[1:]


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
