"""Where, when and for how much it was done that a report tells, asked in the words of the deed.

"When was the mill sold?" beside the "which day is named in the report on the mill?" of `events`;
only training has them.
"""

from __future__ import annotations

import random

from models.nano.families.events import COMMON, Event, Role
from models.nano.families.wording import Wording
from models.nano.phrasing import Composed

#: How often training asks for what any report names in the words of the deed.
_SHARE = 0.4


def slots(rng: random.Random, event: Event) -> dict[str, tuple[str, Wording]]:
    """What training may ask about a report of this kind: by slot, the answer's form and the
    wording."""
    if not event.roles or rng.random() >= _SHARE:
        return {**event.slots, **COMMON}
    role = rng.choice([event.roles[slot] for slot in sorted(event.roles)])
    told = {slot: (COMMON[slot][0], wording(slot, event.thing, role)) for slot in COMMON}
    return {**event.slots, **told}


def wording(slot: str, thing: str, role: Role) -> Wording:
    """How the place ("p"), the day ("d") or the sum ("s") is asked for, by what was done."""
    done, ask = f"{thing} was {role.passive}", f"was {thing} {role.passive}"
    did = f"(somebody|someone) {role.past} {thing}"
    if slot == "p":
        noun, where = "(place|city|town)", "(where|in (which|what) (place|city|town))"
    elif slot == "d":
        noun, where = "(day|date)", "(when|on (which|what) (day|date))"
    else:
        noun, where = (
            "(sum|price|amount)",
            "(for how (much|much money|many crowns)|at (what|which) price)",
        )
    link = {"p": "(where|in which)", "d": "(when|on which)", "s": "for which"}[slot]
    return Wording(
        (
            f"{where} {ask}?",
            f"{where} {ask}?",
            f"{done} {where}?",
            f"{thing}: {where} was it {role.passive}?",
            f"{where} was it that {did}?",
            f"(find|tell me) {where} {done}.",
        ),
        COMMON[slot][1].held,
        Composed(
            nouns=(f"the {noun} {link} {done}", f"the {noun} {link} {did}"),
            asks=(f"{where} {done}", f"{where} {did}", f"{where} it was that {did}"),
            deeds=(f"(name|look up|look for) the {noun} {link} {done}",),
        ),
    )
