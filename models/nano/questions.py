"""Questions for a needle, composed of a lead, a core and a tail."""

from __future__ import annotations

import random

from models.nano import asides, haystacks, phrasing
from models.nano.lexicon import (
    ADJECTIVES,
    ADVERBS,
    FIRST_NAMES,
    NOUNS,
    Split,
    pseudo_word,
    words,
)
from models.nano.phrasing import Composed
from models.nano.written import section

_CORES = (
    "what is the {a} for {k}?",
    "what is the {a} of {k}?",
    "which {a} belongs to {k}?",
    "find the {a} for {k}.",
    "tell me the {a} of {k}.",
    "what is {k}'s {a}?",
    "{k}: what is the {a}?",
    "look up {k} and give me its {a}.",
    "I need the {a} that goes with {k}.",
    "for {k}, which {a} is given?",
    "what {a} was {k} given?",
    "return the {a} of {k}.",
    "the {a} for {k} is what?",
    "where it speaks of {k}, what is the {a}?",
    "{a} of {k}?",
    "{a} for {k}",
    'get the {a} of "{k}".',
    "what does it say is the {a} of {k}?",
    "extract the {a} recorded for {k}.",
    "do you know the {a} of {k}?",
    "search for {k}. What is its {a}?",
    "who can tell me which {a} {k} has?",
    "what is the special magic {a} for {k} mentioned in the provided text?",
    "what are all the special magic {a}s for {k} mentioned in the provided text?",
)
_OF = (
    "(of|for|belonging to|given for|given to|recorded for|kept for|stored for|assigned to|listed "
    "for|that goes with|that belongs to|that stands with|registered for|on file for)"
)
_MORE = Composed(
    nouns=(
        f"the {{a}} {_OF} {{k}}",
        f"the {{a}} {_OF} {{k}}",
        "the {a} that (the text|the file|it|somebody) (has|gives|names|gave|states|put down) for "
        "{k}",
        "the {a} (next to|beside|with|near) (the name |the entry |){k}",
    ),
    asks=(
        "(which|what) {a} (belongs to|goes with|is given for|is kept for|is recorded for|stands "
        "with|is stored for|is assigned to) {k}",
        "(which|what) {a} {k} (has|got|uses|was given|holds|carries)",
        "what the {a} of {k} (is|was)",
    ),
    deeds=(
        f"(look up|fetch|get|find|extract|pull out|quote|copy|read out|retrieve) the {{a}} {_OF} "
        "{k}",
        "(search for|look for|go to|find) {k} and (give|quote|name|read off|copy) (its|the) {a}",
        "(tell|say|state|quote|spell out) (which|what) {a} {k} has",
    ),
)

_HELD_LEADS = ("", "", "Having read everything: ", "I wonder, ")
_HELD_CORES = (
    "which {a} has been noted down for {k}?",
    "could you dig out the {a} connected with {k}?",
    "{k} should have a {a}; which one?",
    "name the {a} under which {k} is listed.",
    "somewhere {k} appears together with a {a}. Quote it.",
    "how does the {a} of {k} read?",
    "please show {k}'s {a}",
    "given {k}, report the matching {a}.",
)
_HELD_TAILS = ("", "", " No explanation, please.", " One value is enough.")

#: What a value of each kind may be called, and what a value of any kind may be.
_ATTRIBUTES = {
    "number": "access code;badge number;locker number;ticket number;serial number;pin;"
    "account number;reference number;magic number;room key;phone number;number",
    "word": "password;code word;secret word;magic word;call sign;nickname;alias;word",
    "uuid": "session id;device id;magic uuid;tracking id;request id;uuid",
}
_ANY = "code;id;identifier;key;tag;secret;label;value;reference;token;entry"
_HELD_ATTRIBUTES = {
    "number": "invoice number;member number;passcode;file number",
    "word": "keyword;codename;watchword",
    "uuid": "guid;object id;transaction id",
}
_HELD_ANY = "credential;handle;signature"


def attribute(kind: str, rng: random.Random, split: Split) -> str:
    """What the value is called, in the question and in the text."""
    if split == "train" and rng.random() < 0.55:
        return _invented_name(rng)
    table, any_kind = (_HELD_ATTRIBUTES, _HELD_ANY) if split == "held" else (_ATTRIBUTES, _ANY)
    return rng.choice((any_kind if rng.random() < 0.35 else table[kind]).split(";"))


def _invented_name(rng: random.Random) -> str:
    """A name that says nothing of the kind: that can only be seen from the text.

    Half of them are made of pieces of the names that do say something, so that a piece
    alone ("word", "sign") is not taken for the name.
    """
    noun = rng.choice(words(NOUNS, "train"))
    pieces = rng.sample(_PIECES.split(), 2)
    return rng.choice(
        (
            lambda: pseudo_word(rng),
            lambda: noun,
            lambda: f"{rng.choice(words(ADJECTIVES, 'train'))} {noun}",
            lambda: "".join(pieces),
            lambda: " ".join(pieces),
            lambda: rng.choice(pieces) + rng.choice(("ure", "er", "ing", "age", "s", "ial", "ist")),
        )
    )()


_PIECES = """\
access badge ticket serial pin account phone pass word code secret magic call sign nick alias
session device track request id number name key tag file card lock mark note line band check hand
master book refer guard log member value token entry label post act room side"""


def tells_kind(name: str) -> bool:
    """Whether a value called so can be of one kind only."""
    tables = (*_ATTRIBUTES.values(), *_HELD_ATTRIBUTES.values())
    return any(name in names.split(";") for names in tables)


def ask(key: str, name: str, rng: random.Random, split: Split) -> str:
    """A question for the value called `name` of `key`."""
    if split == "held":
        lead, tail = rng.choice(_HELD_LEADS), rng.choice(_HELD_TAILS)
        text = lead + rng.choice(_HELD_CORES) + tail
    elif rng.random() < 0.2:
        return _scrambled(key, name, rng)
    else:
        lead = phrasing.fresh(lambda: asides.lead(rng), _HELD_LEADS)
        tail = phrasing.fresh(lambda: asides.tail(rng), _HELD_TAILS)
        if rng.random() < 0.15:
            lead = _aside(rng)
        if rng.random() < 0.15:
            tail = rng.choice((" Give just the {a}.", " " + _aside(rng).strip()))
        text = (lead + _core(rng) + tail).strip()
    text = text.format(a=name, k=key)
    return text[0].upper() + text[1:] if rng.random() < 0.8 else text


def _core(rng: random.Random) -> str:
    """A core of training, written, listed or composed; never one that is held out."""
    lists = (section("needles", "one"), _MORE.templates(), _CORES)

    def one() -> str:
        return phrasing.one_of(rng, rng.choices(lists, (2, 2, 1))[0])

    return phrasing.fresh(one, _HELD_CORES)


def _scrambled(key: str, name: str, rng: random.Random) -> str:
    """Name and key among words in any order: what counts is that they are there."""
    pool = words(ADJECTIVES, "train") + words(NOUNS, "train") + ADVERBS.split() + _SMALL.split()
    filler = [
        pseudo_word(rng) if rng.random() < 0.2 else rng.choice(pool)
        for _ in range(rng.randint(2, 14))
    ]
    for part in (name, key):
        filler.insert(rng.randint(0, len(filler)), part)
    return " ".join(filler) + rng.choice(("", "", "?", "."))


_SMALL = """\
the a an of for with to in on at by from as is was are be has have had it its this that which
what who where how why when can could should would will may must do does did please show give
tell me us you i we they he she one listed noted given say says line quote"""


def _aside(rng: random.Random) -> str:
    """Words before or after a question that have nothing to do with it."""
    name, noun = rng.choice(words(FIRST_NAMES, "train")), rng.choice(words(NOUNS, "train"))
    adverb = rng.choice(ADVERBS.split())
    return rng.choice(
        (
            lambda: haystacks.essay(rng, "train")() + " ",
            lambda: f"{name} asks: ",
            lambda: f"{adverb.capitalize()}, ",
            lambda: f"{pseudo_word(rng)} {pseudo_word(rng)}: ",
            lambda: f"For {name} and the {noun}, {adverb}: ",
            lambda: f"We {adverb} ask: ",
            lambda: f"With the {noun} in mind, ",
        )
    )()
