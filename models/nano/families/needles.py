"""Family a: one needle, several values of one key, or one value for each of several keys."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from models.nano import forms, haystacks, programs, questions, values
from models.nano.cells.gather import GATHER
from models.nano.families.task import Task
from models.nano.families.wording import Wording
from models.nano.lexicon import (
    ADJECTIVES,
    FIRST_NAMES,
    LAST_NAMES,
    NOUNS,
    Split,
    pseudo_word,
    words,
)
from models.nano.phrasing import Composed
from models.nano.tasks import needle_task
from models.nano.written import section

#: The chance of a guess among the endings, of one value and of several: measured on 1,000 and 384
#: held-out tasks of 10,000 characters, since the programs put most of the wrong ones right.
GUESS_ONE, GUESS_SEVERAL = 0.96, 0.65

_VALUES = Wording(
    (
        "what are all the special magic {a}s for {k} mentioned in the provided text?",
        "list (all|all the|every one of the) {a}s of {k}.",
        "which {a}s (belong to|were given to) {k}? List them all.",
        "find (each|every) {a} for {k}.",
        "give all the {a}s that go with {k}.",
        "{k} has several {a}s. Which?",
        "what are the {a}s of {k}? There are several.",
        "collect (all|the) {a}s recorded for {k}.",
        "(report|show|tell me|write) (all|every one of|each of) the {a}s of {k}.",
        "{k}: (list|give|find) all (its|the) {a}s.",
        "what {a}s (does {k} have|has {k}|are there for {k})? (All of them|Name all|Every one).",
        "there are several {a}s for {k}. (List|Find|Name) them.",
        "which are all the {a}s that the text (has|gives|mentions) for {k}?",
        "for {k} there is more than one {a}. What are they?",
    ),
    (
        "name the full set of {a}s noted for {k}.",
        "all {a}s under {k}, please.",
        "{k} comes with more than one {a}; report each of them.",
        "how do all the {a}s of {k} read?",
        "write down every {a} that is connected with {k}.",
    ),
    Composed(
        nouns=(
            "(all|all the|every one of the) {a}s (of|for|given for|given to|recorded "
            "for|kept for|stored for|listed for|that go with|that belong to) {k}",
            "(all|all the) {a}s that (the text|the file|it) (has|gives|names|lists) for {k}",
        ),
        asks=(
            "which {a}s (belong to|go with|are given for|are recorded for|are kept for|are "
            "stored for) {k}, (all of them|every one)",
            "what all the {a}s of {k} are",
        ),
        deeds=(
            "(collect|gather|list|write down|name|find) (all|all the|every one of the) {a}s "
            "(of|for|given for|given to|recorded for|kept for|stored for|listed for|that go "
            "with|that belong to) {k}",
            "search for {k} and (list|give|write down) (all|every one of) its {a}s",
        ),
        plural=True,
    ),
    written=section("needles", "values"),
)
_QUERIES = Wording(
    (
        "what are all the special magic {a}s for {k} mentioned in the provided text?",
        "what are the {a}s for {k}?",
        "find the {a} of each of these: {k}.",
        "give the {a}s of {k}, in this order.",
        "for each of {k}, which {a} is given?",
        "look up {k} and list their {a}s.",
        "which {a}s belong to {k}?",
        "I need the {a}s of the following: {k}.",
        "(report|show|tell me|write) the {a}s of {k}, one (for|of) each.",
        "{k}: what is the {a} (of each|of every one)?",
        "what are the {a}s that (go with|belong to|were given to) {k}?",
        "(find|list|collect) the {a}s for {k}.",
        "(please|now) look for the {a}s of all of these: {k}.",
        "what {a} does each of {k} have?",
    ),
    (
        "report the {a} of every one of {k}.",
        "{k}: which {a}s do they have?",
        "could you get the {a}s connected with {k}?",
        "name the {a}s under which these are listed: {k}.",
        "show me the {a} for each: {k}.",
    ),
    Composed(
        nouns=(
            "the {a}s (of|for|given for|given to|recorded for|kept for|stored for|listed "
            "for|that go with|that belong to) {k}",
            "the {a}s (of|for|given for|given to|recorded for|kept for|stored for|listed "
            "for|that go with|that belong to) (these|the following): {k}",
            "the {a} of each of {k}",
        ),
        asks=(
            "which {a}s (belong to|go with|are given for|are recorded for|are kept for) {k}",
            "what the {a}s of {k} are",
            "which {a} each of {k} has",
        ),
        deeds=(
            "(look up|fetch|get|find|extract|pull out) the {a}s (of|for) {k}",
            "(look up|fetch|get|find|extract) the {a} (of|for) (each of|every one of) {k}",
            "(look up|search for) {k} and (give|list|write down) their {a}s",
        ),
        plural=True,
    ),
    written=section("needles", "queries"),
)


def task(seed: int, split: Split, chars: int, *, unique_chars: int = 60_000) -> Task:
    """The needle task of that seed, in a text of about `chars` characters."""
    rng = random.Random(f"needles-{split}-{seed}")
    sort = rng.choice(("one", "values", "queries"))
    if sort == "one":
        return single(seed, split, chars, unique_chars=unique_chars)
    kind = rng.choice(values.KINDS)
    name = questions.attribute(kind, rng, split)
    keys = _keys(rng, split, rng.randint(2, 4))
    asked = keys if sort == "queries" else keys[:1]
    prose = rng.random() < 0.6
    form = forms.sentence(rng, split) if prose else forms.record(rng, split)
    separator = rng.choice((" ", "\n")) if prose else "\n"
    golds: list[str] = []
    facts = []
    for key in asked:
        for _ in range(1 if sort == "queries" else rng.randint(2, 5)):
            golds.append(values.draw(kind, rng, split))
            facts.append(form(rng, key, name, golds[-1]))
    for key in [key for key in keys if key not in asked] + _keys(rng, split, rng.randint(0, 4)):
        if not set(key.split()) & {part for other in asked for part in other.split()}:
            facts.append(form(rng, key, name, values.draw(kind, rng, split)))
    rng.shuffle(facts)
    filler = rng.choice(list(haystacks.FILLERS))
    unit = haystacks.FILLERS[filler](rng, split)
    units = list(haystacks.fill(unit, separator, chars, unique_chars))
    for fact in facts:
        units.insert(rng.randint(0, len(units)), fact)
    wording = _QUERIES if sort == "queries" else _VALUES
    return Task(
        family="needles",
        seed=seed,
        question=wording.ask(rng, split, k=_listing(rng, asked), a=name),
        texts=(separator.join(units),),
        gold=", ".join(golds),
        plan=(
            programs.LOCATE,
            GATHER,
            f'FINAL({"each" if sort == "queries" else "every"}("{kind}"))',
        ),
        kind=sort,
        match="set",
        chance=GUESS_SEVERAL,
        traits=(kind, filler, "prose" if prose else "records"),
    )


def single(seed: int, split: Split, chars: int, *, unique_chars: int = 60_000) -> Task:
    """The task of `models.nano.tasks` as one of this family: one value of one key."""
    found = needle_task(seed, split, chars, unique_chars=unique_chars)
    return Task(
        family="needles",
        seed=seed,
        question=found.question,
        texts=found.texts,
        gold=found.gold,
        plan=(programs.LOCATE, programs.final(found.kind)),
        kind="one",
        chance=GUESS_ONE,
        traits=(found.kind, *found.traits),
    )


def _keys(rng: random.Random, split: Split, count: int) -> list[str]:
    """Keys of one look that have no word in common."""
    looks: tuple[Callable[[], str], ...] = (
        lambda: f"{rng.choice(words(ADJECTIVES, split))} {rng.choice(words(NOUNS, split))}",
        lambda: f"{rng.choice(words(FIRST_NAMES, split))} {rng.choice(words(LAST_NAMES, split))}",
        lambda: f"{pseudo_word(rng)} {pseudo_word(rng)}",
        lambda: f"{pseudo_word(rng)[:2].upper()}-{rng.randint(100, 99999)}",
        lambda: pseudo_word(rng),
    )
    look = rng.choice(looks)
    keys: list[str] = []
    used: set[str] = set()
    while len(keys) < count:
        key = look()
        if not set(key.split()) & used:
            used |= set(key.split())
            keys.append(key)
    return keys


def _listing(rng: random.Random, keys: Sequence[str]) -> str:
    """The keys as a sentence lists them."""
    if len(keys) == 1:
        return keys[0]
    last = rng.choice((", and ", " and ", ", "))
    return ", ".join(keys[:-1]) + last + keys[-1]
