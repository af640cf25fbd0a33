"""How questions that compare the groups of a table are worded; the fields as in `asking`."""

from __future__ import annotations

from models.nano.families import places
from models.nano.families.wording import Wording
from models.nano.phrasing import Composed
from models.nano.written import section

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
            *places.nouns("count", "first"),
            "the (most common|most frequent|commonest) {b}{c}",
            "the {b} (with|that has|that comes with) the (most "
            "{w}|(highest|largest|greatest|biggest|top) (number|count) of {w}){c}",
            "the {b} that (occurs|appears|is found|is listed|comes up) (most often|the "
            "most|most frequently){c}",
        ),
        asks=(
            *places.asks("count", "first"),
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
    written=section("rankings", "most"),
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
            *places.nouns("count", "second"),
            "the second most (common|frequent) {b}{c}",
            "the {b} (with|that has|that comes with) the second (most "
            "{w}|(highest|largest|greatest) (number|count) of {w}){c}",
            "the {b} (in second place|at place two|right behind the first|next after the top "
            "one) by (number of {w}|count|frequency){c}",
        ),
        asks=(
            *places.asks("count", "second"),
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
    written=section("rankings", "second"),
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
            *places.nouns("count", "last"),
            "the (least common|least frequent|rarest) {b}{c}",
            "the {b} (with|that has|that comes with) the (fewest {w}|(lowest|smallest) "
            "(number|count) of {w}){c}",
            "the {b} that (occurs|appears|is found|is listed|comes up) (least often|the "
            "least|least frequently){c}",
        ),
        asks=(
            *places.asks("count", "last"),
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
    written=section("rankings", "least"),
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
    written=section("rankings", "more"),
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
    written=section("rankings", "gap"),
)
