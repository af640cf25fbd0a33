"""How questions that compare the groups of a table are worded; the fields as in `asking`."""

from __future__ import annotations

from models.nano.families.wording import Wording
from models.nano.phrasing import Composed

MOST = Wording(
    (
        "which {b} has the most {w}{c}?",
        "what is the most (common|frequent) {b}{c}?",
        "which {b} (occurs|appears|comes) most often{c}?",
        "name the {b} with the (largest|highest) number of {w}{c}.",
        "who or what is the top {b} by number of {w}{c}?",
        "which {b} is (the commonest|the most frequent|most common){c}?",
        "which {b} (appears|is found|is listed|is named) in the (most|largest number of) {w}{c}?",
        "to which {b} do (most|the most|the greatest number) of the {w} belong{c}?",
        "(most frequent|commonest|most common) {b}{c}, please.",
        "which {b} (beats|exceeds|tops) (the rest|every other one) in number of {w}{c}?",
        "what {b} do we (see|meet|find) (most often|most|more than the rest){c}?",
        "no {b} has more {w} than which{c}?",
        "count the {w} by {b}{c}: which comes (first|out on top)?",
        "which {b} has (a greater|a larger|a higher) (number|count) of {w} than (the rest|every "
        "other){c}?",
        "rank the {b}s by number of {w}{c}; what is (at the top|first|number one)?",
        "(report|find|tell me) the {b} that (occurs|appears|is found) (most|the most|most "
        "frequently){c}.",
        "which {b} is in (the lead|first place) (by count|by frequency){c}?",
    ),
    (
        "which {b} leads in the number of {w}{c}?",
        "what {b} turns up more than any other{c}?",
        "the {b} that is seen most frequently{c}?",
        "by count of {w}{c}, which {b} is ahead of all others?",
        "more {w} than any other has which {b}{c}?",
    ),
    Composed(
        nouns=(
            "the (most common|most frequent|commonest) {b}{c}",
            "the {b} (with|that has|that comes with) the (most "
            "{w}|(highest|largest|greatest|biggest|top) (number|count) of {w}){c}",
            "the {b} that (occurs|appears|is found|is listed|comes up) (most often|the "
            "most|most frequently){c}",
        ),
        asks=(
            "which {b} (has|gets|takes|holds|comes with) the most {w}{c}",
            "which {b} (occurs|appears|turns up|is found|is listed|comes up) (most often|the "
            "most){c}",
            "which {b} is (the most common|the most frequent|commonest|most common){c}",
        ),
        deeds=(
            "(rank|sort|order|compare) the {b}s by (number of {w}|count|frequency){c} and "
            "(give|name|take) the (first|top one)",
            "count the {w} (by|per|for each) {b}{c} and (give|name|take) the "
            "(top|largest|highest|first) one",
        ),
    ),
)
SECOND = Wording(
    (
        "which {b} has the second most {w}{c}?",
        "what is the second most (common|frequent) {b}{c}?",
        "which {b} (occurs|appears|comes) second most often{c}?",
        "name the {b} in second place by number of {w}{c}.",
        "which {b} (comes|is|follows) (right|directly|just) (after|behind) the (first|top "
        "one|most common one) by number of {w}{c}?",
        "rank the {b}s by number of {w}{c}; what is (second|number two|in place two)?",
        "(second most common|second most frequent) {b}{c}, please.",
        "which {b} is only beaten by one other in (count|number of {w}){c}?",
        "(find|report|tell me) the {b} with the second (largest|highest|greatest|biggest) "
        "(number|count) of {w}{c}.",
        "which {b} is (number two|the next after the most common one) by (count|frequency){c}?",
        "count the {w} by {b}{c}: which comes second?",
        "the (one|single) most common {b} left out, which {b} has the most {w}{c}?",
        "which {b} (appears|is found|is listed) second most (often|frequently){c}?",
    ),
    (
        "after the leader, which {b} has the most {w}{c}?",
        "which {b} is the runner-up in the number of {w}{c}?",
        "the {b} that is seen second most frequently{c}?",
        "by count of {w}{c}, which {b} is second?",
        "which {b} takes the second place by frequency{c}?",
    ),
    Composed(
        nouns=(
            "the second most (common|frequent) {b}{c}",
            "the {b} (with|that has|that comes with) the second (most "
            "{w}|(highest|largest|greatest) (number|count) of {w}){c}",
            "the {b} (in second place|at place two|right behind the first|next after the top "
            "one) by (number of {w}|count|frequency){c}",
        ),
        asks=(
            "which {b} (has|gets|takes|holds|comes with) the second most {w}{c}",
            "which {b} (occurs|appears|turns up|is found|comes up) second most often{c}",
            "which {b} (comes|is|ranks) (second|number two) by (number of {w}|count|frequency){c}",
        ),
        deeds=(
            "(rank|sort|order|compare) the {b}s by (number of {w}|count|frequency){c} and "
            "(give|name|take) the second",
            "count the {w} (by|per|for each) {b}{c} and (give|name|take) the second "
            "(one|largest|highest)",
        ),
    ),
)
LEAST = Wording(
    (
        "which {b} has the (fewest|least) {w}{c}?",
        "what is the least (common|frequent) {b}{c}?",
        "which {b} (occurs|appears|comes) least often{c}?",
        "name the {b} with the (smallest|lowest) number of {w}{c}.",
        "what is the rarest {b}{c}?",
        "which {b} is (the rarest|the least frequent|least common){c}?",
        "which {b} (appears|is found|is listed|is named) in the (fewest|least|smallest number "
        "of) {w}{c}?",
        "to which {b} do the (fewest|smallest number|least) of the {w} belong{c}?",
        "(least frequent|rarest|least common) {b}{c}, please.",
        "which {b} is (behind|below) (the rest|every other one) in number of {w}{c}?",
        "what {b} do we (see|meet|find) (least often|least|less than the rest){c}?",
        "no {b} has (fewer|less) {w} than which{c}?",
        "count the {w} by {b}{c}: which comes (last|out at the bottom)?",
        "which {b} has (a lower|a smaller) (number|count) of {w} than (the rest|every other){c}?",
        "rank the {b}s by number of {w}{c}; what is (at the bottom|last|at the end)?",
        "(report|find|tell me) the {b} that (occurs|appears|is found) (least|the least|least "
        "frequently){c}.",
        "which {b} is in last place (by count|by frequency){c}?",
    ),
    (
        "which {b} is last in the number of {w}{c}?",
        "what {b} turns up less than any other{c}?",
        "the {b} that is seen least frequently{c}?",
        "by count of {w}{c}, which {b} comes behind all others?",
        "fewer {w} than any other has which {b}{c}?",
    ),
    Composed(
        nouns=(
            "the (least common|least frequent|rarest) {b}{c}",
            "the {b} (with|that has|that comes with) the (fewest {w}|(lowest|smallest) "
            "(number|count) of {w}){c}",
            "the {b} that (occurs|appears|is found|is listed|comes up) (least often|the "
            "least|least frequently){c}",
        ),
        asks=(
            "which {b} (has|gets|takes|holds|comes with) the fewest {w}{c}",
            "which {b} (occurs|appears|turns up|is found|is listed|comes up) (least "
            "often|the least){c}",
            "which {b} is (the least common|the least frequent|rarest|least common){c}",
        ),
        deeds=(
            "(rank|sort|order|compare) the {b}s by (number of {w}|count|frequency){c} and "
            "(give|name|take) the (last|bottom one)",
            "count the {w} (by|per|for each) {b}{c} and (give|name|take) the "
            "(bottom|smallest|lowest|last) one",
        ),
    ),
)
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
            "the {b} (with|that has|that shows|that reaches) the "
            "(highest|largest|greatest|biggest) (total|overall|combined|summed|accumulated) "
            "{n}{c}",
            "the {b} (with|that has) the most {n} (in total|in all|altogether|taken "
            "together|summed up){c}",
            "the {b} (whose|of which the) (total|overall|combined|summed|accumulated) {n} is "
            "(highest|largest|greatest|biggest){c}",
        ),
        asks=(
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
            "the {b} (with|that has|that shows|that reaches) the second "
            "(highest|largest|greatest|biggest) (total|overall|combined|summed|accumulated) "
            "{n}{c}",
            "the {b} (with|that has) the second most {n} (in total|in all|altogether|taken "
            "together|summed up){c}",
            "the {b} (whose|of which the) (total|overall|combined|summed|accumulated) {n} is "
            "second (highest|largest|greatest|biggest){c}",
        ),
        asks=(
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
            "the {b} (with|that has|that shows|that reaches) the (lowest|smallest) "
            "(total|overall|combined|summed|accumulated) {n}{c}",
            "the {b} (with|that has) the least {n} (in total|in all|altogether|taken "
            "together|summed up){c}",
            "the {b} (whose|of which the) (total|overall|combined|summed|accumulated) {n} is "
            "(lowest|smallest){c}",
        ),
        asks=(
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
            "the {b} (with|that has|that shows|that reaches) the "
            "(highest|largest|greatest|biggest) (average|mean) {n}{c}",
            "the {b} (with|that has) the most {n} on average{c}",
            "the {b} (whose|of which the) (average|mean) {n} is "
            "(highest|largest|greatest|biggest){c}",
        ),
        asks=(
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
            "the {b} (with|that has|that shows|that reaches) the (lowest|smallest) "
            "(average|mean) {n}{c}",
            "the {b} (with|that has) the least {n} on average{c}",
            "the {b} (whose|of which the) (average|mean) {n} is (lowest|smallest){c}",
        ),
        asks=(
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
)
MORE = Wording(
    (
        "are there more {w} with {x} or with {y}{c}?",
        "which is more (common|frequent){c}, {x} or {y}?",
        "which has more {w}{c}: {x} or {y}?",
        "does {x} or {y} occur more often{c}?",
        "(which|what) (occurs|appears|is found|comes) more (often|frequently){c}, {x} or {y}?",
        "is {x} or {y} (more common|more frequent|in more of the {w}){c}?",
        "{x} or {y}: which (has|is in|comes with) more {w}{c}?",
        "(compare|take) {x} and {y}: which has (more|the most) {w}{c}?",
        "of the two, {x} and {y}, which is (more common|more frequent|on top){c}?",
        "(between|out of) {x} and {y}, which (leads|has the higher count|has the greater number "
        "of {w}){c}?",
        "which of the two is (more frequent|commoner|ahead){c}: {x} or {y}?",
        "does {x} (beat|exceed|outnumber) {y} in number of {w}{c}, or {y} {x}?",
        "who or what has the (higher|larger|bigger) number of {w}{c}, {x} or {y}?",
    ),
    (
        "{x} or {y}: which of them has the larger count{c}?",
        "comparing {x} and {y}, which is seen more often{c}?",
        "of {x} and {y}, which one wins by number of {w}{c}?",
        "is it {x} or {y} that comes up more{c}?",
        "who has the greater number of {w}{c}, {x} or {y}?",
    ),
    Composed(
        nouns=(
            "the (more common|more frequent|commoner) one of {x} and {y}{c}",
            "the one of {x} and {y} that has more {w}{c}",
            "the one with more {w}{c}, {x} or {y}",
        ),
        asks=(
            "which of {x} and {y} (has|gets|comes with) more {w}{c}",
            "which (is|was) more (common|frequent){c}, {x} or {y}",
            "which (occurs|appears|turns up|comes up) more often{c}, {x} or {y}",
            "whether {x} or {y} (has|gets|comes with) more {w}{c}",
        ),
        deeds=(
            "(compare|look at|count|weigh) {x} and {y}{c} and (name|give|take) the (more "
            "common|more frequent|larger) one",
            "(decide|judge|check) whether {x} or {y} is more (common|frequent){c}",
        ),
    ),
)
GAP = Wording(
    (
        "how many more {w} are with {x} than with {y}{c}?",
        "what is the difference (in number|in count) between {x} and {y}{c}?",
        "by how many {w} do {x} and {y} differ{c}?",
        "{x} and {y}: how large is the difference in {w}{c}?",
        "by (how much|how many) does {x} (exceed|beat|lead|outnumber) {y} in number of {w}{c}, "
        "or the other way round?",
        "what is the (distance|margin|gap|difference) between {x} and {y} (in number of {w}|by "
        "count){c}?",
        "take the {w} of {x} and those of {y}{c}: what is the difference?",
        "how many {w} (separate|lie between) {x} and {y}{c}?",
        "{x} minus {y} in number of {w}{c}: how many?",
        "(compute|work out|find|report) the difference (in|in the number of) {w} between {x} and "
        "{y}{c}.",
        "how (much|far) does {x} lead over {y} in {w}{c}, or {y} over {x}?",
        "how unequal are {x} and {y} in number of {w}{c}?",
        "if the (count|number) of {y} is taken away from that of {x}{c}, what (remains|is over)?",
    ),
    (
        "how far apart are {x} and {y} in number of {w}{c}?",
        "how big is the gap between {x} and {y}{c}?",
        "subtract the {w} of {y} from those of {x}{c}; what is left?",
        "by what number is {x} ahead of {y}{c}?",
        "the count of {x} differs from that of {y} by how much{c}?",
    ),
    Composed(
        nouns=(
            "the difference (in number of {w}|in number|in count) between {x} and {y}{c}",
            "the (gap|margin|difference|distance) between the (counts|numbers) of {x} and {y}{c}",
        ),
        asks=(
            "how many more {w} (there are with|come with|go with) {x} than with {y}{c}",
            "how (large|great) the (difference|gap|margin) in {w} between {x} and {y} is{c}",
            "by how many {w} {x} and {y} differ{c}",
        ),
        deeds=(
            "(compute|calculate|take|find) the difference (in number|in count|in {w}) "
            "between {x} and {y}{c}",
            "(compare|count) {x} and {y}{c} and give the difference",
        ),
    ),
)
