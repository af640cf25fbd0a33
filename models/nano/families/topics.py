"""Short texts whose label nobody spells: a topic, a mood, or what a question asks for.

The words of a label are known to training and evaluation alike, since nobody can know what
an unseen word means; the sentences around them are held out.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from models.nano import phrasing
from models.nano.lexicon import FIRST_NAMES, PLACES, Split, words
from models.nano.written import section

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

#: `{w}` is the word that tells, `{n}` a name, `{p}` a place; alternatives as in `phrasing`. No
#: marks: some formats of tables have them between fields.
_WHEN = "(|| today| once more| last week| all day| for hours| at noon| by now| again| as ever)"
_SENTENCES = {
    "topic": (
        "{n} (spoke|talked|heard|wrote|read|dreamt|sang|knew|said much) (of|about) (the|a|that) {w}"
        + _WHEN,
        "(the|that|every|no|each) {w} (was|is|had been|will be) (not|just|all|exactly|hardly) "
        "what {n} (had hoped for|wanted|expected|needed|meant|had in mind)",
        "(in|near|around|outside) {p} (everybody|nobody|hardly anyone|somebody|each of us) "
        "(knows|talks|asks|cares|hears) about (the|a|that|some) {w}",
        "(nobody|somebody|we|they|it was I that) (told|reminded|warned|asked) {n} that (the|a) {w} "
        "(was|would be) (there|gone|late|near|in {p})",
        "(they|people|some|all) (say|think|hear|claim) the {w} (in|of|near) {p} is (the "
        "best|fine|worth it|too much|like no other)",
        "(another|the other|a second|the same|the first|this) {w} was (seen|found|wanted|shown|"
        "brought|met) by {n}" + _WHEN,
        "{n} (asked|called|wrote|came|waited|hoped) (twice|often|in vain|at last|) (about|for|"
        "because of|due to) (a|the) {w}" + _WHEN,
        "it (had to be|was always|is|may be|cannot be) the {w}" + _WHEN,
        "(after|before|beside|without|instead of|next to) the {w} (came|stood|was|went) {n}"
        "(| and then the rest| in {p}| as usual)",
        "(she|he|I|we|someone) (wrote|said|told it) to {n} that (one|this|a|no|the) {w} is "
        "(enough|needed|too much|to come|all there was)",
        "{n} (took|brought|saw|left|found|kept|wanted|missed|got) (the|a|one|that|his|her) {w} "
        "(in|at|to|from|near|for) {p}" + _WHEN,
        "{w} (that|this) (was|is) (it|all|the thing|what {p} is known for)",
        "(with|for|thanks to|because of|about) (the|a|that|such a) {w} {n} (stays|went|came|is) "
        "(in|to|near|from) {p}" + _WHEN,
        "(if|unless|since|because) (the|a) {w} (comes|fails|is there|matters) {n} (stays|goes|"
        "waits|is at ease)",
        "(all|half|most) of {p} (has|wants|sees|got|awaits) (a|the|its) {w}" + _WHEN,
    ),
    "mood": (
        "{n} (was|is|sat|became|grew|remained|lay) {w} (when|as|after|before) the (letter|guest|"
        "train|call|end) came",
        "(all the way|on the road|back|half the way) to {p} (they|we|all|both) were {w}",
        "{n} (looked|seemed|felt|appeared|turned) {w}(| and said nothing| at first| to us all)"
        + _WHEN,
        "(we|they|I) had (never|rarely|often|once) (seen|known|found|met) {n} (so|as|quite so) {w}",
        "(the whole|half|all|most) of {p} (seemed|was|felt|looked) {w} (that day|then|too|at "
        "last|in those days)",
        "why is {n} (always|never|so|still|suddenly) {w} (in the morning|at night|here|in {p}|of "
        "late)",
        "{n} (came|went|drove|walked|ran) (home|in|out|away|past) {w}" + _WHEN,
        "(nobody|who else|hardly anyone|no one) in {p} was as {w} as {n}",
        "(so|very|too|rather|a bit|truly) {w} (was|is|were) {n}(| in {p}| and the others)" + _WHEN,
        "(since|after|because of|with) (that|the news|it all) {n} (is|was|has been|stayed) {w}"
        + _WHEN,
        "{w} as ever {n} (went|turned|wrote|looked|came) (to|back to|towards) {p}",
    ),
    "question": (
        "{w} did {n} (see|meet|want|write|sing|go|say it) (in|near|to|about|from) {p}",
        "{w} (was|is) it that {n} (meant|wanted|saw|said|needed)" + _WHEN,
        "(please say|tell us|do you know|say|ask them|it is unclear|no idea) {w} {n} "
        "(did|does|saw|wants|got) it" + _WHEN,
        "{w} (does|would|should|can|must|might) {n} (go|come|write|return|speak) (to|from|near) "
        "{p}",
        "(tell|ask|remind|show|let us ask) {n} {w} (that|this|it) (was|is|will be|would be)",
        "{w} (will|would|could|has) {n} (say|said|hear|ask|find) about {p}" + _WHEN,
        "(and|but|so|now|well|then) {w} (is|was|are) {n} (to|in|from|of|for) {p}",
        "{n} (asks|wonders|asked|forgot|knows|was told) {w} (we|they|people|others) (did|do|went|"
        "saw) it" + _WHEN,
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
        return self._sentence(rng, split).format(
            w=word,
            n=rng.choice(words(FIRST_NAMES, split)),
            p=rng.choice(words(PLACES, split)),
        )

    def _sentence(self, rng: random.Random, split: Split) -> str:
        held = _HELD_SENTENCES[self.group]
        if split == "held":
            return rng.choice(held)
        written = section("labels", self.group)
        return phrasing.drawn(rng, ((7, written), (3, _SENTENCES[self.group])), held)


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
