"""Sentences composed of alternatives: what training questions and texts are worded with.

In a template words between bars are alternatives, `the (last|final) one`, which may stand in
one another and may be empty; `<find>` is one of the slots below. `{name}` is left for `format`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_INNERMOST = re.compile(r"\(([^()|]*(?:\|[^()|]*)+)\)")
_SLOT = re.compile(r"<(\w+)>")

#: What templates may name.
SLOTS = {
    "find": "(find|give|give me|get|get me|name|state|tell me|show|show me|let me have|provide|"
    "return|determine|work out|look up|establish|say|output|hand me|let me know|read off|supply|"
    "point out|make out)",
    "tell": "(tell me|say|find out|work out|let me know|let us know|explain to me|show me|"
    "help me find out|help me see|look up|make out)",
    "want": "(I need|I want|I am after|I am looking for|I would like|I would like to know|"
    "I ask for|we need|we want|we are after|we are looking for|we have to know|what we need is|"
    "what I want is|my question is about|this is about|wanted:|needed:|asked for:|to be found:)",
    "could": "(can|could|would|will|might) you( please| perhaps| possibly| kindly|)",
}

_NOUN_FRAMES = (
    "what <be> {}?",
    "what <be> {}?",
    "<find> {}.",
    "<find> {}.",
    "<want> {}.",
    "{}?",
    "{}, please.",
    "{} <be> what?",
    "do you (know|see) {}?",
    "<could> (tell me|find|find out|give me|look up|work out|name|determine|get) {}?",
    "I wonder (what|about) {}.",
    "what (do you get|comes out|do you find|did you find|would you say) for {}?",
    "(the|your|my) (task|job|aim|request|assignment) is to <find> {}.",
    "(someone|a colleague|a friend|a client|my boss|the team) (asks for|wants|needs|wants to know) "
    "{}.",
    "{} <be> (wanted|needed|asked for|what I need|what we are after|to be found).",
    "(please|kindly|now|just|simply|go and|try to|be so good as to) <find> {}.",
    "(is it possible|would it be possible|are you able) to <find> {}?",
)
_ASK_FRAMES = (
    "{}?",
    "{}?",
    "<tell> {}.",
    "(please|kindly|now|just|go and|try to) <tell> {}.",
    "do you (know|see) {}?",
    "I (wonder|ask myself|want to know|need to know|would like to know|have to know|am to say) {}.",
    "<could> <tell> {}?",
    "(the|my|our|one|a) question (is|would be|was) {}.",
    "it is (unclear|not known|asked|to be found out|not clear to me|of interest) {}.",
    "(what|the thing) (I|we) (want|need|have) to (know|find out|say) is {}.",
    "is it (clear|known|possible to say) {}?",
    "(we|they|people|my colleagues|some readers) (ask|want to know|wonder|keep asking|would like "
    "to know) {}.",
    "(the|your|my) (task|job|aim) is to <tell> {}.",
    "(I have no idea|I forgot|I cannot see|nobody told me) {}.",
    "and {}?",
)
_DEED_FRAMES = (
    "{}.",
    "{}.",
    "(please|kindly|now|just|simply|go and|go on and|do|then) {}.",
    "<could> {}?",
    "(the|your|my) (task|job|aim|request|assignment) is to {}.",
    "(I want|I need|I would like|I ask|we want|we need|we ask|someone asked) you to {}.",
    "(try to|be sure to|make sure to|help me to|help us to|I have to|we have to|let us|"
    "it is time to|remember to) {}.",
    "you (should|are to|have to|must|may|are asked to|are expected to) {}.",
    "{}, (please|if you can|will you|would you|if you would)?",
    "what (do you get|comes out|is the outcome) when you {}?",
)

#: Words that may stand for one another wherever training templates have them.
_SYNONYMS = (
    r"\b(?:highest|largest|greatest|biggest)\b;highest|largest|greatest|biggest",
    r"\b(?:lowest|smallest)\b;lowest|smallest",
    r"\b(?:larger|greater|bigger|higher)\b;larger|greater|bigger|higher",
    r"\b(?:smaller|lower)\b;smaller|lower",
    r"(?<!on )\b(?:average|mean)(?= (?:\{n\}|of|value));average|mean",
    r"\b(?:different|distinct|unique)\b;different|distinct|unique",
    r"\b(?:common|frequent)\b;common|frequent|usual",
    r"\b(?:occurs|appears)\b;occurs|appears|turns up|is found|is there",
    r"\b(?:occur|appear)\b;occur|appear|turn up|show up",
    r"\b(?:pairs|couples)\b;pairs|couples",
    r"(?<=the )(?:number|count)(?= of \{);number|count|tally",
    r"\bfind(?= the\b);find|locate|get|determine|identify|look for",
    r"\b(?:list|name|write down)(?= (?:all|every|each)\b);list|name|give|write down|put down|note",
    r"\breport(?= the\b);report|state|tell me|give|note",
    r"\b(?:starts|begins)\b;starts|begins|sets out",
    r"\b(?:start|begin)(?= (?:at|with)\b);start|begin|set out",
    r"\b(?:chain|trail)\b;chain|path|trail|line",
    r"\b(?:whole|full|entire|complete)\b;whole|full|entire|complete",
    r"\b(?:altogether|in all|in total)\b;altogether|in all|in total",
    r"\b(?:extract|pull out)\b;extract|pull out|fetch|dig up",
    r"\bplease\b;please|kindly",
)
_SWAPS = [
    (re.compile(pattern), words.split("|"))
    for pattern, words in (entry.rsplit(";", 1) for entry in _SYNONYMS)
]
#: How often a word that has synonyms is replaced.
SWAPPED = 0.3


def pick(rng: random.Random, template: str) -> str:
    """The template with its slots and alternatives chosen."""
    while found := _SLOT.search(template):
        template = template[: found.start()] + SLOTS[found[1]] + template[found.end() :]
    while found := _INNERMOST.search(template):
        chosen = rng.choice(found[1].split("|"))
        template = template[: found.start()] + chosen + template[found.end() :]
    return re.sub("  +", " ", template)


def ways(template: str) -> int:
    """How many choices `pick` has."""
    template = _SLOT.sub(lambda slot: SLOTS[slot[1]], template)
    sizes: list[int] = []

    def close(found: re.Match[str]) -> str:
        sizes.append(sum(map(product, found[1].split("|"))))
        return f"@{len(sizes) - 1}@"

    def product(part: str) -> int:
        total = 1
        for number in re.findall(r"@(\d+)@", part):
            total *= sizes[int(number)]
        return total

    while _INNERMOST.search(template):
        template = _INNERMOST.sub(close, template, count=1)
    return product(template)


def swapped(rng: random.Random, text: str) -> str:
    """The text with some of its words replaced by others that mean the same."""
    for pattern, others in _SWAPS:
        text = pattern.sub(
            lambda found, others=others: (  # type: ignore[misc]
                rng.choice(others) if rng.random() < SWAPPED else found[0]
            ),
            text,
        )
    return text


def plain(text: str) -> str:
    """The words alone, in lower case: what two sentences that read the same share."""
    return " ".join(re.findall(r"[^\W_]+|[{}]", text.lower()))


@dataclass(frozen=True)
class Composed:
    """What a kind of question asks for, as phrases that stand in frames: `nouns` ("the number
    of rows"), `asks` ("how many rows there are") and `deeds` ("count the rows"). `plural`: the
    nouns are."""

    nouns: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    deeds: tuple[str, ...] = ()
    plural: bool = False

    def templates(self) -> list[str]:
        """Each phrase in each of its frames."""
        be = "(are|are|are|might be)" if self.plural else "(is|is|is|might be|was)"
        return [
            frame.replace("<be>", be).replace("{}", phrase)
            for frames, phrases in (
                (_NOUN_FRAMES, self.nouns),
                (_ASK_FRAMES, self.asks),
                (_DEED_FRAMES, self.deeds),
            )
            for frame in frames
            for phrase in phrases
        ]


def fresh(make: Callable[[], str], held: Iterable[str]) -> str:
    """What `make` makes, made anew as long as it has one of the held-out texts in it."""
    held = tuple(held)
    while True:
        made = make()
        if not has_any(made, held):
            return made


def drawn(
    rng: random.Random, sources: Sequence[tuple[int, Sequence[str]]], held: Iterable[str]
) -> str:
    """A template of one of the lists, its alternatives chosen; never one that is held out. Each
    list comes with how often it is drawn from, beside the others."""
    shares, lists = zip(*sources, strict=True)

    def one() -> str:
        return pick(rng, rng.choice(rng.choices(lists, shares)[0]))

    return fresh(one, held)


def has_any(text: str, held: Iterable[str]) -> bool:
    """Whether the words of one of the held-out texts stand in `text`."""
    words = f" {plain(text)} "
    return any(f" {plain(each)} " in words for each in held if each)


def one_of(rng: random.Random, templates: Iterable[str]) -> str:
    """One of the templates, chosen, some of its words replaced."""
    return swapped(rng, pick(rng, rng.choice(list(templates))))
