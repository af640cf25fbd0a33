"""Wordings of training: many of each kind, none that is held out, the same for the same seed."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from models.nano import asides, forms, phrasing, questions, written
from models.nano.families import (
    asking,
    catalog,
    events,
    extremes,
    labelling,
    needles,
    occasions,
    pairs,
    parts,
    ranking,
    sheets,
    topics,
    totalling,
    tracing,
    wording,
)
from models.nano.families.wording import Wording
from models.nano.written import section

MODULES = [asking, extremes, labelling, needles, pairs, parts, ranking, totalling, tracing]
LISTED = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, Wording)
}
REPORTED = {
    f"events.{n}.{slot}": worded
    for n, event in enumerate((*events.EVENTS, *events.COMPOSED))
    for slot, (_, worded) in {**event.slots, **events.COMMON}.items()
} | {
    f"occasions.{n}.{slot}": occasions.wording(slot, event.thing, role)
    for n, event in enumerate((*events.EVENTS, *events.COMPOSED))
    for role in event.roles.values()
    for slot in events.COMMON
}


def _inside(held: str, text: str) -> bool:
    """Whether the words of `held` stand in `text`."""
    return f" {phrasing.plain(held)} " in f" {phrasing.plain(text)} "


@pytest.mark.parametrize("name", sorted(LISTED | REPORTED))
def test_a_kind_of_question_has_hundreds_of_wordings_and_none_that_is_held_out(name: str) -> None:
    worded = (LISTED | REPORTED)[name]
    rng = random.Random(name)
    cores = [worded.core(rng) for _ in range(300)]
    assert len(set(cores)) >= 100
    assert worded.variants() >= 40
    for core in cores:
        assert not any(_inside(held, core) for held in worded.held), core
        assert not re.search(r"[|<>]|\(\)|  ", core), core


@pytest.mark.parametrize("path", sorted(written.FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_written_wordings_are_whole_templates_and_stand_once(path: Path) -> None:
    sections = written.sections(path.stem)
    assert len(sections) >= 5
    for name, templates in sections.items():
        assert len(templates) >= 14, name
        assert len(set(map(phrasing.plain, templates))) == len(templates), name
        for template in templates:
            for n in range(5):
                text = phrasing.pick(random.Random(n), template)
                assert not re.search(r"[|<>()\[\]\d\"]|  |\{(?!\w\})", text), (name, text)


def test_each_kind_of_written_report_tells_of_two_persons_and_asks_for_each() -> None:
    assert len(events.WRITTEN) >= 20
    for event in events.WRITTEN:
        assert {slot: len(worded.cores) >= 14 for slot, (_, worded) in event.slots.items()} == {
            "a": True,
            "b": True,
        }
        for template in event.sentences:
            assert sorted(re.findall(r"\{(\w)\}", template)) == list("abdkps"), template


@pytest.mark.parametrize("name", sorted(LISTED))
def test_a_kind_of_question_holds_some_wordings_out(name: str) -> None:
    assert len(LISTED[name].held) >= 5


def test_leads_and_tails_are_many_and_none_is_held_out() -> None:
    rng = random.Random(1)
    leads = [phrasing.fresh(lambda: asides.lead(rng), wording._HELD_LEADS) for _ in range(2_500)]
    tails = [phrasing.fresh(lambda: asides.tail(rng), wording._HELD_TAILS) for _ in range(2_500)]
    assert len(set(leads)) >= 1_500
    assert len(set(tails)) >= 1_000
    for held in filter(None, wording._HELD_LEADS):
        assert not any(_inside(held, lead) for lead in leads)
    for held in filter(None, wording._HELD_TAILS):
        assert not any(_inside(held, tail) for tail in tails)
    for aside in (*leads, *tails):
        assert not re.search(r"[\d'\"()\[\]{}]|  ", aside), aside
    for lead in (asides.lead(rng, quiet=True) for _ in range(2_000)):
        assert ":" not in lead


#: What tells one kind of question from another, or is a label: no lead may have it.
_CUES = """\
all every each list count number total sum average mean highest largest lowest smallest second
first last pair pairs both follow chain step steps section part chapter heading difference
different distinct names bought sold signed drafted crowns"""


def test_leads_and_tails_have_no_words_that_ask_something() -> None:
    templates = [*asides.TEMPLATES, *section("needles", "lead"), *section("needles", "tail")]
    said = {word for text in templates for word in re.findall(r"[a-z]+", text.lower())}
    labels = {label for group in topics.GROUPS.values() for label in group}
    assert not said.intersection(_CUES.split())
    assert not said & labels
    assert not said & {*sheets._HELD_TEXT_NAMES.split(), *sheets._HELD_NUMBER_NAMES.split()}


def test_needles_are_asked_for_and_written_in_many_ways_and_in_none_that_is_held_out() -> None:
    rng = random.Random(2)
    cores = [questions._core(rng) for _ in range(800)]
    assert len(set(cores)) >= 400
    for held in questions._HELD_CORES:
        assert not any(_inside(held, core) for core in cores)
    texts = [forms.sentence(rng, "train")(rng, "Kaba", "code", "12345") for _ in range(800)]
    assert len(set(texts)) >= 400
    for held in forms._HELD_SENTENCES:
        written = held.format(k="Kaba", a="code", v="12345")
        assert not any(_inside(written, text) for text in texts)
    for text in texts:
        assert "Kaba" in text
        assert text.count("12345") == 1
        assert not re.search(r"[|<>{}]|  ", text), text


def test_reports_are_told_in_many_ways_and_hold_all_that_may_be_asked() -> None:
    rng = random.Random(3)
    fields = {"a": "Ada Baker", "b": "Ben Costa", "p": "Lima", "d": "1999-02-03", "s": "4711"}
    for event in events.TRAINED:
        told = {events.told(rng, event, "the amber harbor", fields) for _ in range(100)}
        assert len(told) >= (70 if event.roles else 10)
        for text in told:
            assert all(value in text for value in fields.values())
            assert not re.search(r"[|{}]|  ", text), text
            for held in event.held:
                assert not _inside(held.format(k="the amber harbor", **fields), text)


@pytest.mark.parametrize("family", sorted([*catalog.FAMILIES, "needle"]))
def test_seeds_give_the_same_questions_and_nearly_all_different_ones(family: str) -> None:
    one, two = (
        [catalog.task(family, seed, "train", 700).question for seed in range(25)] for _ in range(2)
    )
    assert one == two
    assert len(set(one)) == 25
    assert all(question == question.strip() for question in one)


def test_alternatives_may_stand_in_one_another() -> None:
    template = "a(|b|c (d|e))f <could>"
    found = {phrasing.pick(random.Random(n), template) for n in range(2_000)}
    assert len(found) == phrasing.ways("a(|b|c (d|e))f ") * phrasing.ways("<could>")
    assert phrasing.ways("a(|b|c (d|e))f") == 4
    assert phrasing.pick(random.Random(1), "no (alternative) here") == "no (alternative) here"


def test_words_are_swapped_outside_of_fields_only() -> None:
    swapped = {phrasing.swapped(random.Random(n), "the highest {n}{c}") for n in range(400)}
    assert {"the highest {n}{c}", "the greatest {n}{c}"} <= swapped
    assert all(text.endswith(" {n}{c}") for text in swapped)


@pytest.mark.parametrize(
    ("one", "more"),
    [("city", "cities"), ("key", "keys"), ("status", "statuses"), ("branch", "branches")],
)
def test_plurals_are_spelled_as_people_spell_them(one: str, more: str) -> None:
    assert wording.plural(one) == more
    asked = [asking.NAMES.ask(random.Random(n), "train", b=one, w="rows", c="") for n in range(60)]
    assert sum(more in text for text in asked) >= 15
