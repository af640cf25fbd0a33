"""Short texts whose label nobody spells: a topic, a mood, or what a question asks for.

The words of a label are known to training and evaluation alike, since nobody can know what
an unseen word means; the sentences around them are held out.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from models.nano.lexicon import FIRST_NAMES, PLACES, Split, words

#: Group → label → the words that tell it.
GROUPS: dict[str, dict[str, str]] = {
    "topic": {
        "food": "soup bread cheese pasta dessert dinner recipe kitchen chef sausage pancake salad",
        "sport": "goalkeeper tennis marathon referee football athlete stadium hockey boxer swimmer",
        "money": "loan interest bank invoice salary budget dividend mortgage tax currency pension",
        "weather": "rainfall thunderstorm fog drizzle sunshine blizzard hail frost humidity gale",
        "music": "violinist choir concert melody drummer symphony guitarist opera chorus pianist",
        "travel": "passport airport suitcase voyage tourist luggage flight itinerary cruise visa",
        "health": "doctor fever vaccine hospital surgery nurse pill headache therapy clinic",
        "school": "homework pupil classroom exam lesson blackboard teacher diploma lecture essay",
        "law": "judge verdict lawyer trial jury witness prison lawsuit statute attorney",
        "animals": "giraffe squirrel otter parrot wolf hedgehog dolphin badger camel beaver",
        "computers": "keyboard software laptop browser database compiler password server modem",
        "farming": "harvest tractor wheat barn plough orchard cattle fertilizer silo shepherd",
    },
    "mood": {
        "joy": "delighted cheerful laughing happy thrilled merry glad overjoyed",
        "anger": "furious outraged shouting angry enraged annoyed cross irritated",
        "fear": "terrified scared trembling afraid frightened panicking alarmed nervous",
        "sadness": "weeping gloomy heartbroken sad mourning tearful miserable lonely",
        "surprise": "astonished amazed startled surprised stunned speechless baffled",
    },
    "question": {
        "human": "who whom whose",
        "location": "where",
        "moment": "when",
        "quantity": "how-many how-much how-often",
        "cause": "why",
    },
}

#: `{w}` is the word that tells, `{n}` a name, `{p}` a place.
_SENTENCES = {
    "topic": (
        "{n} spoke of the {w} all day",
        "the {w} was not what {n} had hoped for",
        "in {p} everybody knows about the {w}",
        "nobody told {n} that the {w} was there",
        "they say the {w} in {p} is the best",
        "another {w} was seen by {n}",
        "{n} asked twice about a {w}",
        "it had to be the {w} again",
        "after the {w} came {n} and then the rest",
        "she wrote to {n} that one {w} is enough",
    ),
    "mood": (
        "{n} was {w} when the letter came",
        "all the way to {p} they were {w}",
        "{n} looked {w} and said nothing",
        "we had never seen {n} so {w}",
        "the whole of {p} seemed {w} that day",
        "why is {n} always {w} in the morning",
        "{n} came home {w} once more",
        "nobody in {p} was as {w} as {n}",
    ),
    "question": (
        "{w} did {n} see in {p}",
        "{w} was it that {n} meant",
        "please say {w} {n} did it",
        "{w} does {n} go to {p}",
        "tell {n} {w} that was",
        "{w} will {n} say about {p}",
    ),
}
_HELD_SENTENCES = {
    "topic": (
        "for {n} there is nothing like the {w}",
        "what {n} liked in {p} was the {w}",
        "one more {w} and {n} will leave {p}",
    ),
    "mood": (
        "{n} stood there {w} and waited",
        "the news from {p} left {n} {w}",
    ),
    "question": (
        "{w} then did {n} leave {p}",
        "{n} would like to know {w} that is",
    ),
}


@dataclass(frozen=True)
class Labels:
    """Some labels of one group, and what draws texts for them."""

    group: str
    names: tuple[str, ...]

    def text(self, rng: random.Random, split: Split, label: str) -> str:
        """A text of that label."""
        word = rng.choice(GROUPS[self.group][label].split()).replace("-", " ")
        sentences = (_HELD_SENTENCES if split == "held" else _SENTENCES)[self.group]
        return rng.choice(sentences).format(
            w=word,
            n=rng.choice(words(FIRST_NAMES, split)),
            p=rng.choice(words(PLACES, split)),
        )


def draw(rng: random.Random) -> Labels:
    """Two to five labels of a group."""
    group = rng.choices(list(GROUPS), (6, 2, 2))[0]
    names = list(GROUPS[group])
    return Labels(group, tuple(rng.sample(names, rng.randint(2, min(5, len(names))))))


_MENU = re.compile(r"Which fits\? (.*)\n(.*)", re.DOTALL)
_CLUES = {
    re.sub("-", " ", word): (group, label)
    for group, labels in GROUPS.items()
    for label, listing in labels.items()
    for word in listing.split()
}


def reply(prompt: str) -> str:
    """What a perfect worker says to a labelling prompt: the label that fits, or ''."""
    found = _MENU.match(prompt)
    if not found:
        return ""
    menu = found[1].split("; ")
    for clue, (_, label) in _CLUES.items():
        if label in menu and re.search(rf"\b{clue}\b", found[2]):
            return label
    return ""
