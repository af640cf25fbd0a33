"""Family h: a question about one part of the context, answered by a child with its own REPL."""

from __future__ import annotations

import random
from dataclasses import replace

from models.nano import haystacks
from models.nano.cells.part import PART, PASSED_ON
from models.nano.families import chains, needles, tables
from models.nano.families.task import Task
from models.nano.families.wording import Wording
from models.nano.lexicon import ADJECTIVES, NOUNS, Split, pseudo_word, words
from models.nano.written import section

#: The families that a child's question may be of.
_CHILDREN = (tables.task, chains.task, needles.task)
_HEADINGS = ("## {t}", "=== {t} ===", "Section: {t}", "# {t} #", "CHAPTER {t}", "-- {t} --")
_HELD_HEADINGS = ("<< {t} >>", "Part: {t}", "@ {t}")

_ABOUT = Wording(
    (
        "in the (section|part|chapter) '{t}': {q}",
        "(look|see) only at the (section|part) called '{t}'. {q}",
        "consider just '{t}': {q}",
        'with regard to the (chapter|section) "{t}", {q}',
        "under the (heading|title) '{t}', {q}",
        'in "{t}": {q}',
        "use nothing but the part '{t}'. {q}",
        "for the section '{t}' alone: {q}",
        "(read|open) the (part|section|chapter) '{t}'. {q}",
        "from '{t}' only: {q}",
        "what comes under '{t}' matters here. {q}",
        'this is about the (section|part) "{t}": {q}',
        "(within|inside) the (section|part|chapter) '{t}', {q}",
        "going only by '{t}': {q}",
        '(take|use) only the (section|passage|text) "{t}". {q}',
        "about the (section|passage) '{t}' I ask: {q}",
        "the (section|chapter|part) is '{t}'. {q}",
        "(restrict|limit) yourself to '{t}'. {q}",
        "'{t}' is what counts: {q}",
        "(skip|forget|ignore) everything except '{t}'. {q}",
        "(consult|search|inspect|study) (only|just|nothing but) (the text|the lines|what is "
        "written|what stands) (under|below) (the heading|the title|) '{t}'. {q}",
        "(it is|this is|we speak|my question is|I ask) about (the section|the part|the chapter|) "
        "'{t}': {q}",
        "(go|turn|scroll|jump) to (the section|the part|the chapter|) '{t}'. {q}",
        "(find|locate|look up) (the section|the part|the chapter|the heading) '{t}' and (answer|"
        "reply|read there): {q}",
        "(the rest|the other parts|the other sections) (does not matter|can be left aside|are of "
        "no interest), only '{t}'. {q}",
        "(there is|you will see|you find) (a section|a part|a chapter|a heading) '{t}'. {q}",
        "(answer|work|reply) (from|by|with) (the section|the part|the chapter|the text) "
        "'{t}' (only|alone|): {q}",
        "(section|part|chapter|heading|under|in|where) '{t}': {q}",
        '(section|part|chapter|heading|under|in|where) "{t}". {q}',
        "(for what|as to what) (stands|is written|comes) (below|under|after) (the heading|) "
        "'{t}', {q}",
    ),
    (
        "taking only what stands under '{t}': {q}",
        'as far as "{t}" is concerned, {q}',
        "leave out all but '{t}'. {q}",
        "within the passage headed '{t}': {q}",
        "concerning '{t}' and nothing else: {q}",
    ),
    written=section("chains", "section"),
)


def task(seed: int, split: Split, chars: int) -> Task:
    """The question of that seed about one of several parts of about `chars` characters."""
    rng = random.Random(f"parts-{split}-{seed}")
    count = rng.randint(2, 6)
    size = max(500, chars // count)
    make = rng.choice(_CHILDREN)
    child = next(
        found
        for found in (make(seed * 50 + n, split, size) for n in range(50))
        if len(found.texts) == 1
    )
    child = replace(child, texts=(child.texts[0].strip("\n"),))
    heading = rng.choice(_HELD_HEADINGS if split == "held" else _HEADINGS)
    titles = _titles(rng, split, count)
    bodies = [child.texts[0]]
    while len(bodies) < count:
        if rng.random() < 0.4:
            unit = haystacks.essay(rng, split)
            bodies.append(" ".join(haystacks.fill(unit, " ", size, 60_000)))
        else:
            other = rng.choice(_CHILDREN)(seed * 50 + len(bodies) + 10**9, split, size)
            bodies.append("\n".join(other.texts).strip("\n"))
    sections = [
        heading.format(t=title) + "\n" + rng.choice(("", "\n")) + body
        for title, body in zip(titles, bodies, strict=True)
    ]
    rng.shuffle(sections)
    listed = rng.random() < 0.3
    return Task(
        family="parts",
        seed=seed,
        question=_ABOUT.ask(rng, split, t=titles[0], q=child.question, tail=False),
        texts=tuple(sections) if listed else ("\n\n".join(sections),),
        gold=child.gold,
        plan=(PART, PASSED_ON),
        kind=f"{child.family}-{child.kind}",
        match=child.match,
        chance=child.chance / count,
        traits=("documents" if listed else "one text", *child.traits),
        child=child,
        listed=listed,
    )


def _titles(rng: random.Random, split: Split, count: int) -> list[str]:
    """Headings, none a part of another."""
    nouns = rng.sample(words(NOUNS, split), count)
    return [
        f"{rng.choice(words(ADJECTIVES, split)).capitalize()} {noun} {pseudo_word(rng)}"
        for noun in nouns
    ]
