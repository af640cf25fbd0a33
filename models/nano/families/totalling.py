"""How questions that compare the groups of a table by a sum or a mean are worded."""

from __future__ import annotations

from models.nano.families import places
from models.nano.families.wording import Wording
from models.nano.phrasing import Composed
from models.nano.written import section

MOST_TOTAL = Wording(
    (
        "which {b} has the (highest|largest) total {n}{c}?",
        "which {b} has the most {n} (in total|in all|altogether){c}?",
        "by total {n}, which {b} (is first|comes first|leads){c}?",
        "summed up, which {b} has the greatest {n}{c}?",
        "sum {n} (by|per|for each) {b}{c}: which is (highest|largest|first|top|greatest)?",
        "which {b} (made|got|reached|brought) the (largest|greatest|biggest|highest) "
        "(sum|total|overall amount) of {n}{c}?",
        "with all {w} (added|taken|put) together, which {b} has the (most|highest|greatest) "
        "{n}{c}?",
        "rank the {b}s by (total|overall|summed|combined) {n}{c}; which is (first|at the "
        "top|number one)?",
        "the {n} of which {b} (adds up|comes|amounts) to the most{c}?",
        "(find|report|tell me) the {b} with the (largest|highest|most) "
        "(combined|total|overall|accumulated) {n}{c}.",
        "which {b} (accounts|stands) for the most {n} (overall|in total|in sum){c}?",
        "for which {b} is the (sum|total) of {n} (highest|greatest|largest|at the top){c}?",
        "totalling {n} by {b}{c}, which one (leads|wins|is ahead|comes first)?",
    ),
    (
        "adding up {n}, which {b} is ahead{c}?",
        "which {b} collects the most {n} in sum{c}?",
        "the {b} with the top total of {n}{c}?",
        "if {n} is summed for each {b}{c}, which is the highest?",
        "which {b} gathered the greatest overall {n}{c}?",
    ),
    Composed(
        nouns=(
            *places.nouns("total", "first"),
            "the {b} (with|that has|that shows|that reaches) the "
            "(highest|largest|greatest|biggest) (total|overall|combined|summed|accumulated) "
            "{n}{c}",
            "the {b} (with|that has) the most {n} (in total|in all|altogether|taken "
            "together|summed up){c}",
            "the {b} (whose|of which the) (total|overall|combined|summed|accumulated) {n} is "
            "(highest|largest|greatest|biggest){c}",
        ),
        asks=(
            *places.asks("total", "first"),
            "which {b} (has|shows|reaches|gets|comes to) the "
            "(highest|largest|greatest|biggest) (total|overall|combined|summed|accumulated) "
            "{n}{c}",
            "which {b} has the most {n} (in total|in all|altogether|taken together|summed up){c}",
            "which {b} (comes|is|ranks) (first|number one|on top) by "
            "(total|overall|combined|summed|accumulated) {n}{c}",
        ),
        deeds=(
            "(rank|sort|order|compare) the {b}s by "
            "(total|overall|combined|summed|accumulated) {n}{c} and (give|name|take) the "
            "(first|top one)",
            "(sum|add up|total) (the |){n} (by|per|for each) {b}{c} and (give|name|take) the "
            "(highest|largest|greatest|biggest) one",
        ),
    ),
    written=section("totals", "most-total"),
)
SECOND_TOTAL = Wording(
    (
        "which {b} has the second (highest|largest) total {n}{c}?",
        "by total {n}, which {b} is second{c}?",
        "summed up, which {b} has the second most {n}{c}?",
        "which {b} is in second place by {n} in total{c}?",
        "sum {n} (by|per|for each) {b}{c}: which is (second|second highest|second largest|number "
        "two)?",
        "which {b} (made|got|reached|brought) the second (largest|greatest|biggest|highest) "
        "(sum|total|overall amount) of {n}{c}?",
        "with all {w} (added|taken|put) together, which {b} has the second (most|highest) {n}{c}?",
        "rank the {b}s by (total|overall|summed|combined) {n}{c}; which is (second|number "
        "two|next to the top)?",
        "the {n} of which {b} (adds up|comes|amounts) to the second most{c}?",
        "(find|report|tell me) the {b} with the second (largest|highest|most) "
        "(combined|total|accumulated) {n}{c}.",
        "in total {n}, which {b} is (only beaten by one other|right behind the first){c}?",
        "for which {b} is the (sum|total) of {n} (second highest|second largest){c}?",
        "totalling {n} by {b}{c}, which one comes (second|after the first)?",
    ),
    (
        "adding up {n}, which {b} is the runner-up{c}?",
        "the {b} with the second greatest sum of {n}{c}?",
        "if {n} is summed for each {b}{c}, which is second?",
        "after the leader, which {b} has the most {n} in sum{c}?",
        "second in overall {n}{c} is which {b}?",
    ),
    Composed(
        nouns=(
            *places.nouns("total", "second"),
            "the {b} (with|that has|that shows|that reaches) the second "
            "(highest|largest|greatest|biggest) (total|overall|combined|summed|accumulated) "
            "{n}{c}",
            "the {b} (with|that has) the second most {n} (in total|in all|altogether|taken "
            "together|summed up){c}",
            "the {b} (whose|of which the) (total|overall|combined|summed|accumulated) {n} is "
            "second (highest|largest|greatest|biggest){c}",
        ),
        asks=(
            *places.asks("total", "second"),
            "which {b} (has|shows|reaches|gets|comes to) the second "
            "(highest|largest|greatest|biggest) (total|overall|combined|summed|accumulated) "
            "{n}{c}",
            "which {b} has the second most {n} (in total|in all|altogether|taken "
            "together|summed up){c}",
            "which {b} (comes|is|ranks) (second|number two) by "
            "(total|overall|combined|summed|accumulated) {n}{c}",
        ),
        deeds=(
            "(rank|sort|order|compare) the {b}s by "
            "(total|overall|combined|summed|accumulated) {n}{c} and (give|name|take) the "
            "second",
            "(sum|add up|total) (the |){n} (by|per|for each) {b}{c} and (give|name|take) the "
            "second (highest|largest|greatest|biggest) one",
        ),
    ),
    written=section("totals", "second-total"),
)
LEAST_TOTAL = Wording(
    (
        "which {b} has the (lowest|smallest) total {n}{c}?",
        "which {b} has the least {n} (in total|in all|altogether){c}?",
        "by total {n}, which {b} (is last|comes last){c}?",
        "summed up, which {b} has the smallest {n}{c}?",
        "sum {n} (by|per|for each) {b}{c}: which is (lowest|smallest|last|least)?",
        "which {b} (made|got|reached|brought) the (lowest|smallest|least) (sum|total|overall "
        "amount) of {n}{c}?",
        "with all {w} (added|taken|put) together, which {b} has the (least|lowest|smallest) "
        "{n}{c}?",
        "rank the {b}s by (total|overall|summed|combined) {n}{c}; which is (last|at the "
        "bottom|at the end)?",
        "the {n} of which {b} (adds up|comes|amounts) to the least{c}?",
        "(find|report|tell me) the {b} with the (smallest|lowest|least) "
        "(combined|total|overall|accumulated) {n}{c}.",
        "which {b} (accounts|stands) for the least {n} (overall|in total|in sum){c}?",
        "for which {b} is the (sum|total) of {n} (lowest|smallest|at the bottom){c}?",
        "totalling {n} by {b}{c}, which one (trails|loses|is behind|comes last)?",
    ),
    (
        "adding up {n}, which {b} is behind{c}?",
        "which {b} collects the least {n} in sum{c}?",
        "the {b} with the bottom total of {n}{c}?",
        "if {n} is summed for each {b}{c}, which is the lowest?",
        "which {b} gathered the smallest overall {n}{c}?",
    ),
    Composed(
        nouns=(
            *places.nouns("total", "last"),
            "the {b} (with|that has|that shows|that reaches) the (lowest|smallest) "
            "(total|overall|combined|summed|accumulated) {n}{c}",
            "the {b} (with|that has) the least {n} (in total|in all|altogether|taken "
            "together|summed up){c}",
            "the {b} (whose|of which the) (total|overall|combined|summed|accumulated) {n} is "
            "(lowest|smallest){c}",
        ),
        asks=(
            *places.asks("total", "last"),
            "which {b} (has|shows|reaches|gets|comes to) the (lowest|smallest) "
            "(total|overall|combined|summed|accumulated) {n}{c}",
            "which {b} has the least {n} (in total|in all|altogether|taken together|summed up){c}",
            "which {b} (comes|is|ranks) (last|at the bottom) by "
            "(total|overall|combined|summed|accumulated) {n}{c}",
        ),
        deeds=(
            "(rank|sort|order|compare) the {b}s by "
            "(total|overall|combined|summed|accumulated) {n}{c} and (give|name|take) the "
            "(last|bottom one)",
            "(sum|add up|total) (the |){n} (by|per|for each) {b}{c} and (give|name|take) the "
            "(lowest|smallest) one",
        ),
    ),
    written=section("totals", "least-total"),
)
MOST_MEAN = Wording(
    (
        "which {b} has the (highest|largest) (average|mean) {n}{c}?",
        "on average, which {b} has the most {n}{c}?",
        "by (mean|average) {n}, which {b} (is first|leads){c}?",
        "average {n} (by|per|for each) {b}{c}: which is (highest|largest|first|top|greatest)?",
        "which {b} (made|got|reached) the (largest|greatest|biggest|highest) (average|mean) of "
        "{n}{c}?",
        "rank the {b}s by (average|mean) {n}{c}; which is (first|at the top|number one)?",
        "the {n} of which {b} is highest (on average|in the mean){c}?",
        "(find|report|tell me) the {b} with the (largest|highest|best) (average|mean) {n}{c}.",
        "which {b} has the most {n} per (row|record|line|item) on average{c}?",
        "for which {b} is the (average|mean) of {n} (highest|greatest|largest|at the top){c}?",
        "taking the (average|mean) of {n} by {b}{c}, which one (leads|wins|comes first)?",
    ),
    (
        "averaging {n}, which {b} is ahead{c}?",
        "the {b} with the top mean of {n}{c}?",
        "if {n} is averaged for each {b}{c}, which is the highest?",
        "which {b} shows the greatest {n} on average{c}?",
        "per entry, averaged, which {b} has most {n}{c}?",
    ),
    Composed(
        nouns=(
            *places.nouns("mean", "first"),
            "the {b} (with|that has|that shows|that reaches) the "
            "(highest|largest|greatest|biggest) (average|mean) {n}{c}",
            "the {b} (with|that has) the most {n} on average{c}",
            "the {b} (whose|of which the) (average|mean) {n} is "
            "(highest|largest|greatest|biggest){c}",
        ),
        asks=(
            *places.asks("mean", "first"),
            "which {b} (has|shows|reaches|gets|comes to) the "
            "(highest|largest|greatest|biggest) (average|mean) {n}{c}",
            "which {b} has the most {n} on average{c}",
            "which {b} (comes|is|ranks) (first|number one|on top) by (average|mean) {n}{c}",
        ),
        deeds=(
            "(rank|sort|order|compare) the {b}s by (average|mean) {n}{c} and "
            "(give|name|take) the (first|top one)",
            "(average|take the mean of|take the average of) (the |){n} (by|per|for each) "
            "{b}{c} and (give|name|take) the (highest|largest|greatest|biggest) one",
        ),
    ),
    written=section("totals", "most-mean"),
)
LEAST_MEAN = Wording(
    (
        "which {b} has the (lowest|smallest) (average|mean) {n}{c}?",
        "on average, which {b} has the least {n}{c}?",
        "by (mean|average) {n}, which {b} is last{c}?",
        "average {n} (by|per|for each) {b}{c}: which is (lowest|smallest|last|least)?",
        "which {b} (made|got|reached) the (lowest|smallest|least) (average|mean) of {n}{c}?",
        "rank the {b}s by (average|mean) {n}{c}; which is (last|at the bottom|at the end)?",
        "the {n} of which {b} is lowest (on average|in the mean){c}?",
        "(find|report|tell me) the {b} with the (smallest|lowest|worst) (average|mean) {n}{c}.",
        "which {b} has the least {n} per (row|record|line|item) on average{c}?",
        "for which {b} is the (average|mean) of {n} (lowest|smallest|at the bottom){c}?",
        "taking the (average|mean) of {n} by {b}{c}, which one (trails|loses|comes last)?",
    ),
    (
        "averaging {n}, which {b} is behind{c}?",
        "the {b} with the bottom mean of {n}{c}?",
        "if {n} is averaged for each {b}{c}, which is the lowest?",
        "which {b} shows the smallest {n} on average{c}?",
        "per entry, averaged, which {b} has least {n}{c}?",
    ),
    Composed(
        nouns=(
            *places.nouns("mean", "last"),
            "the {b} (with|that has|that shows|that reaches) the (lowest|smallest) "
            "(average|mean) {n}{c}",
            "the {b} (with|that has) the least {n} on average{c}",
            "the {b} (whose|of which the) (average|mean) {n} is (lowest|smallest){c}",
        ),
        asks=(
            *places.asks("mean", "last"),
            "which {b} (has|shows|reaches|gets|comes to) the (lowest|smallest) "
            "(average|mean) {n}{c}",
            "which {b} has the least {n} on average{c}",
            "which {b} (comes|is|ranks) (last|at the bottom) by (average|mean) {n}{c}",
        ),
        deeds=(
            "(rank|sort|order|compare) the {b}s by (average|mean) {n}{c} and "
            "(give|name|take) the (last|bottom one)",
            "(average|take the mean of|take the average of) (the |){n} (by|per|for each) "
            "{b}{c} and (give|name|take) the (lowest|smallest) one",
        ),
    ),
    written=section("totals", "least-mean"),
)
