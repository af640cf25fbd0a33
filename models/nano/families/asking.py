"""How the questions about tables are worded.

In the cores `{w}` is what a row is called, `{b}` the field to group by, `{n}` the field of
numbers, `{x}` and `{y}` two values, and `{c}` the conditions, which bring their own space.
"""

from __future__ import annotations

from models.nano.families.wording import Wording
from models.nano.phrasing import Composed
from models.nano.written import section

#: What a row is called.
ROWS = ("rows", "records", "entries", "lines", "items")

COUNT = Wording(
    (
        "how many {w} are there{c}?",
        "count the {w}{c}.",
        "what is the number of {w}{c}?",
        "how many {w} (do we have|did they find|can be seen){c}?",
        "give the (number|count) of {w}{c}.",
        "how often is there (one|an entry){c}?",
        "tell me how many {w} there are{c}.",
        "(please count|number of) {w}{c}",
        "how (large|big) is the (set|group) of {w}{c}?",
        "what number of {w} (is there|do you get|do you see){c}?",
        "{w}{c}: how many (are there|in all|altogether)?",
        "(work out|determine|find) (how many|the number of) {w}{c}.",
        "to what number do the {w}{c} amount?",
        "we need the (count|number|tally) of {w}{c}.",
        "what is the size of the (list|set) of {w}{c}?",
        "how many of the {w} (qualify|match|fit|count){c}?",
        "(name|state|report) the number of {w}{c}.",
    ),
    (
        "what does the count of {w}{c} come to?",
        "how large is the number of {w}{c}?",
        "I need to know how many {w} exist{c}.",
        "say how many {w} you find{c}.",
        "there are how many {w}{c}?",
    ),
    Composed(
        nouns=(
            "the (number|count|tally|quantity) of {w}{c}",
            "the size of the (set|group|list) of {w}{c}",
            "the (number|count) of {w} (there are|that exist|on file|in it){c}",
        ),
        asks=(
            "how many {w} (there are|are there|we have|are in it|are on file|come up|are given){c}",
            "what number of {w} (there is|you get|comes out){c}",
        ),
        deeds=(
            "count (the|up the|all the) {w}{c}",
            "(work out|determine|establish|compute|find) (how many {w} there are|the number "
            "of {w}){c}",
        ),
    ),
    written=section("figures", "count"),
)
TOTAL = Wording(
    (
        "what is the total {n} of the {w}{c}?",
        "what is the sum of {n}{c}?",
        "add up the {n} of all {w}{c}.",
        "how much {n} is there (in all|altogether|in total){c}?",
        "compute the (overall|total) {n}{c}.",
        "sum the {n} over the {w}{c}.",
        "the {n} of all {w}{c} together is what?",
        "what does the {n} of the {w} (sum|add) up to{c}?",
        "(everything|all) (added|counted|put) together, how much {n} is there{c}?",
        "how much {n} do the {w} have (between them|combined|taken together|in sum){c}?",
        "what is the (combined|overall|whole|entire|full) {n}{c}?",
        "what {n} results when all {w}{c} are (summed|added|totalled)?",
        "(total|sum) of {n}{c}, please.",
        "to how much does the {n} of all {w} (amount|come){c}?",
        "(find|report|state|work out) the (sum|total) of all {n} values{c}.",
        "how (high|large) is the (sum|total) of the {n}{c}?",
    ),
    (
        "what do all the {n} figures add up to{c}?",
        "how high is the {n} in sum{c}?",
        "taken together, what is the {n} of the {w}{c}?",
        "report the grand total of {n}{c}.",
        "give the {n} summed over all {w}{c}.",
    ),
    Composed(
        nouns=(
            "the (total|sum|overall sum|grand sum|total amount) of {n}{c}",
            "the (total|overall|combined|summed|accumulated) {n} (of the {w}|of all {w}|){c}",
            "the sum over the {n} of (the|all) {w}{c}",
        ),
        asks=(
            "how much {n} (there is in total|the {w} have together|it makes in total|is "
            "there altogether){c}",
            "what the {n} of (the|all) {w}{c} (adds up to|comes to|sums to|amounts to)",
            "what the sum of all {n} values is{c}",
        ),
        deeds=(
            "(add up|sum|sum up|total|add together) the {n} (of the {w}|of all "
            "{w}|values|figures|){c}",
            "(compute|calculate|work out|determine) the (total|overall|combined) {n}{c}",
        ),
    ),
    written=section("figures", "total"),
)
MEAN = Wording(
    (
        "what is the (average|mean) {n} of the {w}{c}?",
        "on average, how much {n} is there{c}?",
        "compute the (mean|average) {n}{c}.",
        "how high is the {n} on average{c}?",
        "give the average {n} over the {w}{c}.",
        "what {n} do the {w} have on average{c}?",
        "how much {n} (comes|falls) to (one|each) of the {w} on average{c}?",
        "(find|report|state|work out) the mean value of {n}{c}.",
        "what does {n} average{c}?",
        "taking the (average|mean) of {n}{c}, what (results|comes out)?",
        "(average|mean) of {n}{c}, please.",
        "average the {n} of the {w}{c}.",
        "what is the (typical|usual) {n} of the {w}{c}?",
        "{n} per (row|record|line|item) on average{c}: how much?",
        "how (high|large|great) is the (average|mean) {n}{c}?",
    ),
    (
        "what is the {n} of an average entry{c}?",
        "the mean of {n}{c} is what?",
        "averaged over the {w}{c}, what is the {n}?",
        "how large is the {n} in the mean{c}?",
        "report the {n} per entry, averaged{c}.",
    ),
    Composed(
        nouns=(
            "the (average|mean|mean value|average value) of {n}{c}",
            "the (average|mean) {n} (of the {w}|over the {w}|among the {w}|){c}",
            "the {n} that (one of the {w} has|the {w} have) on average{c}",
        ),
        asks=(
            "how much {n} (there is|it is|the {w} have) on average{c}",
            "what the {n} is on average{c}",
            "how (high|large) the (average|mean) {n} is{c}",
        ),
        deeds=(
            "(average|take the mean of|take the average of) the {n}{c}",
            "(compute|calculate|work out|determine) the (average|mean) {n} (of the {w}|){c}",
        ),
    ),
    written=section("figures", "mean"),
)
DISTINCT = Wording(
    (
        "how many (different|distinct|unique) {b} values are there{c}?",
        "how many (different|distinct|unique) {b}s appear{c}?",
        "count the (different|distinct) {b}s{c}.",
        "what is the number of (unique|distinct) {b} values{c}?",
        "how many {b}s are there (in all|altogether|overall){c}?",
        "(number|count) of (distinct|different|unique) {b}s{c}, please.",
        "how many {b}s (occur|exist|are seen|come up){c}, (each counted once|not counting "
        "repeats|duplicates left out)?",
        "how many (kinds|sorts|types) of {b} (are there|occur|exist){c}?",
        "(state|find|report|tell me) the number of {b}s (without duplicates|that are "
        "different){c}.",
        "among how many {b}s are the {w} (spread|divided|shared){c}?",
        "ignoring repeats, what is the number of {b}s{c}?",
        "how many separate {b}s can be (seen|found|told apart){c}?",
        "what number of (different|distinct) {b}s (do we have|is there){c}?",
    ),
    (
        "of how many kinds is {b}{c}?",
        "without repetition, how many {b}s occur{c}?",
        "how many {b}s that differ are there{c}?",
        "count each {b} once{c}; how many are there?",
        "the number of separate {b} values{c}?",
    ),
    Composed(
        nouns=(
            "the (number|count|tally) of (different|distinct|unique|separate) {b}s{c}",
            "the number of {b}s, repeats (left out|not counted|ignored){c}",
            "the (number|count) of (kinds|sorts|types) of {b}{c}",
        ),
        asks=(
            "how many (different|distinct|unique|separate) {b}s (there are|are there|are in "
            "use|turn up|come up|are named){c}",
            "how many {b}s there are if (repeats are left out|each is taken once|duplicates "
            "are dropped){c}",
        ),
        deeds=(
            "count the (different|distinct|unique|separate) {b}s{c}",
            "count the {b}s, (each of them once|repeats left out|without duplicates){c}",
            "(work out|determine|establish) how many (different|distinct|unique) {b}s there are{c}",
        ),
    ),
    written=section("figures", "distinct"),
)
NAMES = Wording(
    (
        "list (all|every) {b}s that have {w}{c}.",
        "which {b}s are there{c}? List them all.",
        "name all the different {b}s{c}.",
        "give (every|each) {b} that appears{c}.",
        "what are (all|all the) {b} values{c}?",
        "(give|write|report) the (names of the|different|distinct|full list of) {b}s{c}.",
        "what {b}s (occur|appear|exist|are there|do we have|come up){c}?",
        "which (different|distinct|unique) {b}s (occur|appear|are there|exist){c}?",
        "make a list of (the|all|the different) {b}s{c}.",
        "I (want|need|would like) (a list of all|all the|every one of the) {b}s{c}.",
        "what are the (different|distinct|possible) {b}s{c}?",
        "all {b}s{c}, (each once|one by one|without repeats).",
        "which are the {b}s{c}? (Write|Say|Put down) every one.",
        "(collect|gather|show) the {b}s that (occur|appear|turn out){c}.",
    ),
    (
        "enumerate the {b}s{c}.",
        "write out each {b} once{c}.",
        "the complete list of {b}s{c}, please.",
        "which {b}s can be found{c}? All of them.",
        "tell me every {b} that occurs{c}.",
    ),
    Composed(
        nouns=(
            "(all|all the|the) (different|distinct|unique|various) {b}s (that occur|that "
            "there are|in use|on file|){c}",
            "the (names|list|set|full set) of (all|the) {b}s{c}",
        ),
        asks=(
            "which {b}s (there are|occur|appear|are in use|turn up|come up|are named){c}",
            "what (all the|the different|the distinct) {b}s are{c}",
        ),
        deeds=(
            "(list|name|write down|put together|collect|gather|spell out) (all|all the|the "
            "different|the distinct|every one of the) {b}s (that occur|that appear|you "
            "see|){c}",
            "(make|give|draw up|compile) a list of (the|all) {b}s{c}",
        ),
        plural=True,
    ),
    written=section("figures", "names"),
)
