"""How one fact (a key, its attribute, a value) is written down: sentences and records.

Records are composed at random (order of fields, separators, quoting, extra
fields), so that no two tasks need look alike. The held-out forms are kinds of
sentence and of record that training never shows.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from models.nano import phrasing
from models.nano.lexicon import FIRST_NAMES, PLACES, Split, words
from models.nano.written import section

#: Writes a fact: `(rng, key, attribute, value) -> text`.
Form = Callable[[random.Random, str, str, str], str]

_SENTENCES = (
    "One of the special magic {a}s for {k} is: {v}.",
    "The {a} for {k} is {v}.",
    "The {a} of {k} is {v}.",
    "{v} is the {a} for {k}.",
    "{k} has the {a} {v}.",
    "{k} was given {v} as its {a}.",
    "Remember that the {a} of {k} is {v}.",
    "For {k}, the {a} is {v}.",
    "Note: {k} uses {v}.",
    "It was agreed that {v} would be the {a} of {k}.",
    "The {a} {v} belongs to {k}.",
    "When asked for the {a}, {k} answered {v}.",
    "They wrote {v} next to the name of {k}.",
    "{k} ({v}) signed first.",
    "The list says {k}: {v}.",
    "As of today the {a} for {k} reads {v}.",
    "The clerk entered {v} for {k} as the {a}.",
    "{a} {v} - holder {k}.",
    "In the file of {k} the {a} was {v}.",
    "Under {k} stands {v}.",
    'The {a} of "{k}" equals "{v}".',
    "{k}'s {a} is {v}.",
    "Set {a} of {k} to {v}.",
    "{v}: that is the {a} kept for {k}.",
    "You may open it with {v}, the {a} of {k}.",
)

_SINCE = "(| now| today| again| as before| so far| at present| since spring| to this day)"
_WHO = "(they|we|the clerk|somebody|the office|the keeper|an old friend|the bank|a neighbour)"
#: What training composes further sentences of.
_COMPOSED = (
    "<opening>the {a} (of|for|given to|kept for|recorded for|belonging to|assigned to) {k} "
    f"(is|was|reads|equals|remains|became|is said to be|should be|is still) {{v}}{_SINCE}.",
    f"<opening>{{v}} (is|was|serves as|is used as|became|counts as) the {{a}} (of|for) "
    f"{{k}}{_SINCE}.",
    "<opening>{k} (has|got|received|holds|carries|keeps|was given|was assigned) the {a} {v}"
    f"{_SINCE}.",
    "<opening>{k} (has|got|received|uses|keeps|was given|was assigned|chose|took) {v} as (its|the|"
    f"a) {{a}}{_SINCE}.",
    f"<opening>{_WHO} (gave|assigned|handed|offered|sent|lent) {{k}} the {{a}} {{v}}{_SINCE}.",
    f"<opening>{_WHO} (wrote|put|entered|noted|filed|stored|kept) {{v}} (for|beside|next to|"
    "together with) {k}(| as the {a}).",
    f"<opening>{_WHO} (wrote|put|entered|noted|set) the {{a}} of {{k}} (down as|to be|as) {{v}}.",
    "{a} (of|for|belonging to) {k}: {v}(.|;|, as noted.| - do not lose it.)",
    "(with|by|using|through) {v}, (its|the) {a}, {k} (could be reached|was found|was opened).",
    "<opening>{k} is (listed|registered|stored|known|noted) with the {a} {v}.",
    "<opening>what {k} (has|uses|was given) as (its|the|a) {a} is {v}.",
)
_OPENING = (
    "(||||note that |remember that |it is said that |for the record, |according to the list, |"
    "in the meantime |by the way, |as we learned later, |do not forget that |of course |at first |"
    "in the end |we were told that |the letter says that |officially |as a rule |it seems that )"
)
_OPENED = tuple(template.replace("<opening>", _OPENING) for template in _COMPOSED)

_HELD_SENTENCES = (
    "Anyone looking for {k} should quote {v}.",
    "{k} goes by the {a} {v} these days.",
    "The {a} that was issued to {k} happens to be {v}.",
    "Please file {v} under {k}, it is the {a}.",
    "{v} unlocks {k}.",
    "Everybody knows {k} by {v}.",
    "As for {k}, its {a} turned out to be {v}.",
    "Our records match {k} with {v}.",
)

_MENTIONS = (
    "{k} was mentioned twice that day.",
    "Nobody had seen {k} since the spring.",
    "The report on {k} is still missing.",
    "They spoke of {k} for a while.",
    "Much has been said about {k}.",
    "{k} does not appear in the other list.",
    "The {a} for {k} was not recorded here.",
    "Somebody asked about {k}, and nobody answered.",
    "(Nobody|Hardly anyone|A visitor|The clerk|An old friend) (spoke of|mentioned|remembered|wrote "
    "about|dreamt of) {k}(| that day| again| in spring| at the meeting).",
    "(It is unclear|Nobody knows|They never said) (what happened to|who saw|where to look for) "
    "{k}.",
)

_HELD_MENTIONS = (
    "A letter about {k} arrived late.",
    "We could not find the {a} of {k} anywhere.",
    "What became of {k} is unknown.",
)

_KEY_FIELDS = ("name", "key", "item", "label", "owner", "subject", "entry", "who")
_EXTRA_FIELDS = ("status", "city", "owner", "level", "day", "note")
_STATUS = ("open", "closed", "active", "pending", "done", "new")


def sentence(rng: random.Random, split: Split) -> Form:
    """One way to put a fact into a sentence."""
    if split == "held":
        return _filled(rng.choice(_HELD_SENTENCES))
    sources = ((1, _SENTENCES), (2, _OPENED), (2, section("needles", "statement")))
    template = phrasing.drawn(rng, sources, _HELD_SENTENCES)
    return _filled(template[0].upper() + template[1:])


def mention(rng: random.Random, split: Split) -> Form:
    """A sentence that names the key and holds no value."""
    if split == "held":
        return _filled(rng.choice(_HELD_MENTIONS))
    listed = rng.choice((_MENTIONS, section("needles", "mention")))
    return _filled(phrasing.fresh(lambda: phrasing.pick(rng, rng.choice(listed)), _HELD_MENTIONS))


def record(rng: random.Random, split: Split) -> Form:
    """One way to write a fact as a record; the same for a whole text."""
    return rng.choice(_HELD_RECORDS if split == "held" else _RECORDS)(rng, split)


def _filled(template: str) -> Form:
    def write(_: random.Random, key: str, attribute: str, value: str) -> str:
        text = template.format(k=key, a=attribute, v=value)
        return text[0].upper() + text[1:] if template.startswith("{a}") else text

    return write


# ------------------------------------------------------------------- records


def _extras(
    rng: random.Random, split: Split, count: int
) -> list[tuple[str, Callable[[random.Random], str]]]:
    """Fields beside key and value, none of which looks like a value."""
    makers: dict[str, Callable[[random.Random], str]] = {
        "status": lambda r: r.choice(_STATUS),
        "city": lambda r: r.choice(words(PLACES, split)),
        "owner": lambda r: r.choice(words(FIRST_NAMES, split)),
        "level": lambda r: str(r.randint(1, 99)),
        "day": lambda r: f"20{r.randint(10, 29)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}",
        "note": lambda r: r.choice(("ok", "check", "see file", "none", "late", "-")),
    }
    return [(name, makers[name]) for name in rng.sample(_EXTRA_FIELDS, count)]


def _layout(
    rng: random.Random, split: Split
) -> Callable[[random.Random, str, str, str], list[tuple[str, str]]]:
    """A fixed order of named fields, among them "k" and "v", filled for each record."""
    key_field = rng.choice(_KEY_FIELDS)
    extras = [e for e in _extras(rng, split, rng.choice((0, 0, 1, 2, 3))) if e[0] != key_field]
    order: list[int] = list(range(len(extras) + 2))
    rng.shuffle(order)
    plain = rng.random() < 0.5

    def fill(r: random.Random, key: str, attribute: str, value: str) -> list[tuple[str, str]]:
        fields = [(name, make(r)) for name, make in extras]
        name = "value" if plain else attribute.replace(" ", "_")
        fields += [(key_field, key), (name, value)]
        return [fields[n] for n in order]

    return fill


def _delimited(rng: random.Random, split: Split) -> Form:
    fill = _layout(rng, split)
    delimiter = rng.choice((",", ",", ";", "|", "\t", ", ", " | ", " ; "))
    quote = rng.choice(("", "", '"'))

    def write(r: random.Random, key: str, attribute: str, value: str) -> str:
        return delimiter.join(quote + text + quote for _, text in fill(r, key, attribute, value))

    return write


def _pairs(rng: random.Random, split: Split) -> Form:
    fill = _layout(rng, split)
    equals = rng.choice(("=", ": ", " = ", "=>", ":"))
    between = rng.choice((", ", " ", "; ", " | ", " || "))
    quote = rng.choice(("", '"', "'"))

    def write(r: random.Random, key: str, attribute: str, value: str) -> str:
        return between.join(
            f"{name}{equals}{quote}{text}{quote}" for name, text in fill(r, key, attribute, value)
        )

    return write


def _json(rng: random.Random, split: Split) -> Form:
    fill = _layout(rng, split)
    numbers = rng.random() < 0.5
    separators = rng.choice(((", ", ": "), (",", ":")))

    def write(r: random.Random, key: str, attribute: str, value: str) -> str:
        fields: dict[str, object] = dict(fill(r, key, attribute, value))
        if numbers and value.isdigit():
            fields = {n: int(value) if t == value else t for n, t in fields.items()}
        return json.dumps(fields, separators=separators)

    return write


def _tags(rng: random.Random, split: Split) -> Form:
    fill = _layout(rng, split)
    tag = rng.choice(("row", "entry", "item", "rec"))
    nested = rng.random() < 0.5

    def write(r: random.Random, key: str, attribute: str, value: str) -> str:
        fields = fill(r, key, attribute, value)
        if nested:
            return f"<{tag}>" + "".join(f"<{n}>{t}</{n}>" for n, t in fields) + f"</{tag}>"
        return f"<{tag} " + " ".join(f'{n}="{t}"' for n, t in fields) + "/>"

    return write


def _short(rng: random.Random, _: Split) -> Form:
    return _filled(
        rng.choice(
            (
                "{k}: {v}",
                "{k} = {v}",
                "{k}={v}",
                "{k} -> {v}",
                "{v}: {k}",
                "{v} {k}",
                "- {k} ({v})",
                "{k}\t{v}",
                "{a} of {k}: {v}",
                "{k} / {a} / {v}",
                "{v} <- {k}",
                "* {k}, {a} {v}",
                '"{k}": "{v}",',
            )
        )
    )


def _log(rng: random.Random, split: Split) -> Form:
    message = rng.choice(
        (
            "set {a} of {k} to {v}",
            "{a} {v} assigned to {k}",
            "{k} logged in with {v}",
            "user={k} {a}={v} ok",
            "[{k}] {a} {v}",
            "accepted {v} from {k}",
            "lookup {k} returned {v}",
        )
    )
    service = rng.choice(("auth", "store", "api", "billing", "sync"))

    def write(r: random.Random, key: str, attribute: str, value: str) -> str:
        text = message.format(k=key, a=attribute.replace(" ", "_"), v=value)
        moment = f"{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}"
        level = r.choice(("INFO", "INFO", "WARN", "DEBUG"))
        day = f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02}"
        return f"{day} {moment} {level} {service}: {text}"

    return write


def _block(rng: random.Random, split: Split) -> Form:
    fill = _layout(rng, split)
    equals = rng.choice((": ", " = "))

    def write(r: random.Random, key: str, attribute: str, value: str) -> str:
        lines = (f"{name}{equals}{text}" for name, text in fill(r, key, attribute, value))
        return "\n".join(lines) + "\n"

    return write


_RECORDS = (
    _delimited,
    _delimited,
    _pairs,
    _pairs,
    _json,
    _json,
    _tags,
    _short,
    _short,
    _log,
    _log,
    _block,
)


# ---------------------------------------------------------- held-out records


def _held(templates: Sequence[str]) -> Callable[[random.Random, Split], Form]:
    def choose(rng: random.Random, _: Split) -> Form:
        return _filled(rng.choice(templates))

    return choose


_HELD_RECORDS = (
    _held(("| {k} | {v} |", "| {v} | {k} |")),
    _held(
        ("INSERT INTO records VALUES ('{k}', '{v}');", "UPDATE t SET x = '{v}' WHERE n = '{k}';")
    ),
    _held(("(entry (of {k}) (is {v}))", "({v} . {k})")),
    _held(("[{k}]\nsecret = {v}\n",)),
    _held(("{k} .......... {v}", "{k} ~ {v}")),
    _held(("assign('{k}', {v!r})".replace("!r", ""), "put {v} into {k};")),
    _held(("Subject: {k}\nBody: please use {v}, thanks\n",)),
    _held(("\\item[{k}] {v}", "<tr><td>{v}</td><td>{k}</td></tr>")),
)
