"""How questions about labels are worded: `{x}` and `{y}` are labels, the rest as in `asking`."""

from __future__ import annotations

from models.nano.families.wording import Wording
from models.nano.phrasing import Composed
from models.nano.written import section

COUNT = Wording(
    (
        "how many (of them|{w}) are {x}{c}?",
        "count the {w} that are {x}{c}.",
        "how often does {x} occur{c}?",
        "what is the number of {w} labelled {x}{c}?",
        "how many {w} (should be|would be|can be) classified as {x}{c}?",
        "for how many {w} does {x} fit{c}?",
        "how many {w} (get|have|carry|deserve) the label {x}{c}?",
        "{x}: how many {w}{c}?",
        "(find|report|tell me) the number of {w} (that are|marked|about|in) {x}{c}.",
        "what number of {w} (is|would be|counts as) {x}{c}?",
        "how many (of the {w}|times) (is it|are clearly) {x}{c}?",
        "how (big|large) is the (group|share|set) {x}{c}?",
        "{x} is the right label for how many {w}{c}?",
    ),
    (
        "to how many {w} would you give {x}{c}?",
        "what is the count of {x}{c}?",
        "how large is the class {x}{c}?",
        "the number of {w} in the class {x}{c}?",
        "how many {w} fall under {x}{c}?",
    ),
    Composed(
        nouns=(
            "the (number|count|tally) of {w} (labelled|marked|that are|that count as|that "
            "pass as) {x}{c}",
            "the (number|count) of (times|cases) (of {x}|with {x}|where it is {x}){c}",
        ),
        asks=(
            "how many {w} (are|count as|pass as|should be called|get the label|have the "
            "label) {x}{c}",
            "how often {x} (is right|fits|occurs|is the label){c}",
            "for how many {w} {x} is (right|the label|the right label){c}",
        ),
        deeds=(
            "count the {w} (labelled|marked|that are|that count as) {x}{c}",
            "(work out|determine|establish) how many {w} are {x}{c}",
        ),
    ),
    written=section("labels", "count"),
)
MOST = Wording(
    (
        "which (label|kind|one) is the most (common|frequent){c}?",
        "which of them occurs most often{c}?",
        "what is the most frequent (label|class|kind){c}?",
        "(name|give) the label with the most {w}{c}.",
        "which (label|class|category|one) (has|gets|takes) the most {w}{c}?",
        "which (label|class|category) is (commonest|seen most|in the lead){c}?",
        "count the {w} by label{c}: which (is first|comes first|is on top)?",
        "what is the (commonest|top|biggest|leading) (label|class|category|kind){c}?",
        "which (label|category|kind) (beats|tops|exceeds) all the rest{c}?",
        "what do the {w} belong to most often{c}?",
    ),
    (
        "which class is the largest{c}?",
        "to which label do the most {w} belong{c}?",
        "the label that comes up more than any other{c}?",
        "which of the labels leads{c}?",
        "what label dominates{c}?",
    ),
    Composed(
        nouns=(
            "the most (common|frequent) (of them|(label|category|kind|class)){c}",
            "the (label|category|kind|class) (with|that has|that gets) the most {w}{c}",
        ),
        asks=(
            "which (label|category|kind|class) (has|gets|takes|comes with) the most {w}{c}",
            "which (of them|(label|category|kind|class)) (occurs|appears|turns up|comes "
            "up|is given) most often{c}",
            "which (of them|(label|category|kind|class)) is (the |)most (common|frequent){c}",
        ),
        deeds=(
            "(sort|label|classify) the {w}{c} and (give|name) the most (common|frequent) "
            "(label|category|kind|class)",
            "(rank|order|compare) (them|the labels) by (number of {w}|count|frequency){c} "
            "and (give|name|take) the (first|top one)",
        ),
    ),
    written=section("labels", "most"),
)
LEAST = Wording(
    (
        "which (label|kind|one) is the least (common|frequent){c}?",
        "which of them occurs least often{c}?",
        "what is the least frequent (label|class|kind){c}?",
        "(name|give) the label with the fewest {w}{c}.",
        "which (label|class|category|one) (has|gets|takes) the (fewest|least) {w}{c}?",
        "which (label|class|category) is (rarest|seen least|at the bottom){c}?",
        "count the {w} by label{c}: which (is last|comes last|is at the bottom)?",
        "what is the (rarest|bottom|smallest) (class|category|kind){c}?",
        "which (label|category|kind) (is behind|trails) all the rest{c}?",
        "what do the {w} belong to least often{c}?",
    ),
    (
        "which class is the smallest{c}?",
        "to which label do the fewest {w} belong{c}?",
        "the label that comes up less than any other{c}?",
        "which of the labels is last{c}?",
        "what is the rarest label{c}?",
    ),
    Composed(
        nouns=(
            "the least (common|frequent) (of them|(label|category|kind|class)){c}",
            "the (label|category|kind|class) (with|that has|that gets) the fewest {w}{c}",
        ),
        asks=(
            "which (label|category|kind|class) (has|gets|takes|comes with) the fewest {w}{c}",
            "which (of them|(label|category|kind|class)) (occurs|appears|turns up|comes "
            "up|is given) least often{c}",
            "which (of them|(label|category|kind|class)) is (the |)least (common|frequent){c}",
        ),
        deeds=(
            "(sort|label|classify) the {w}{c} and (give|name) the least (common|frequent) "
            "(label|category|kind|class)",
            "(rank|order|compare) (them|the labels) by (number of {w}|count|frequency){c} "
            "and (give|name|take) the (last|bottom one)",
        ),
    ),
    written=section("labels", "least"),
)
SECOND = Wording(
    (
        "which (label|kind|one) is the second most (common|frequent){c}?",
        "which of them occurs second most often{c}?",
        "what is the second most frequent (label|class|kind){c}?",
        "name the label in second place{c}.",
        "which (label|class|category|one) (has|gets|takes) the second most {w}{c}?",
        "which (label|class|category) is (second commonest|number two|right after the first){c}?",
        "count the {w} by label{c}: which (is second|comes second|is number two)?",
        "what is the (second commonest|second biggest) (label|class|category|kind){c}?",
        "which (label|category|kind) is only beaten by one other{c}?",
        "the most common one left out, which label has the most {w}{c}?",
    ),
    (
        "which class is the second largest{c}?",
        "after the leader, which label has the most {w}{c}?",
        "the runner-up among the labels{c}?",
        "which label is second by count{c}?",
        "what label takes the second place{c}?",
    ),
    Composed(
        nouns=(
            "the second most (common|frequent) (of them|(label|category|kind|class)){c}",
            "the (label|category|kind|class) (with|that has|that gets) the second most {w}{c}",
        ),
        asks=(
            "which (label|category|kind|class) (has|gets|takes|comes with) the second most {w}{c}",
            "which (of them|(label|category|kind|class)) (occurs|appears|turns up|comes "
            "up|is given) second most often{c}",
            "which (of them|(label|category|kind|class)) is (the |)second most "
            "(common|frequent){c}",
        ),
        deeds=(
            "(sort|label|classify) the {w}{c} and (give|name) the second most "
            "(common|frequent) (label|category|kind|class)",
            "(rank|order|compare) (them|the labels) by (number of {w}|count|frequency){c} "
            "and (give|name|take) the second",
        ),
    ),
    written=section("labels", "second"),
)
MORE = Wording(
    (
        "is {x} or {y} more (common|frequent){c}?",
        "are more {w} {x} or {y}{c}?",
        "which occurs more often{c}, {x} or {y}?",
        "which of {x} and {y} has more {w}{c}?",
        "(which|what) is (more common|more frequent|commoner|seen more often){c}, {x} or {y}?",
        "{x} or {y}: which (has|gets) more {w}{c}?",
        "(compare|take) {x} and {y}: which has (more|the most) {w}{c}?",
        "of the two, {x} and {y}, which is (more common|more frequent|on top){c}?",
        "(between|out of) {x} and {y}, which (leads|has the higher count|has the greater "
        "number){c}?",
        "does {x} (beat|exceed|outnumber) {y}{c}, or {y} {x}?",
        "is the (class|label) {x} or {y} the (bigger|larger|greater) one{c}?",
    ),
    (
        "{x} or {y}: which class is larger{c}?",
        "comparing {x} and {y}, which is ahead{c}?",
        "of {x} and {y}, which label wins{c}?",
        "do more {w} fall under {x} or under {y}{c}?",
        "who is stronger{c}, {x} or {y}?",
    ),
    Composed(
        nouns=(
            "the (more common|more frequent|commoner) one of {x} and {y}{c}",
            "the one of {x} and {y} that has more {w}{c}",
        ),
        asks=(
            "which of {x} and {y} (has|gets|takes) more {w}{c}",
            "whether {x} or {y} is more (common|frequent){c}",
            "whether more {w} are {x} or {y}{c}",
            "which (occurs|turns up|comes up) more often{c}, {x} or {y}",
        ),
        deeds=(
            "(compare|count|weigh) {x} and {y}{c} and (name|give|take) the (more common|more "
            "frequent|larger) one",
            "(decide|judge|check) whether {x} or {y} is more (common|frequent){c}",
        ),
    ),
    written=section("labels", "more"),
)
GAP = Wording(
    (
        "how many more {w} are {x} than {y}{c}?",
        "what is the difference (in number|in count) between {x} and {y}{c}?",
        "by how many {w} do {x} and {y} differ{c}?",
        "how large is the difference between {x} and {y}{c}?",
        "by (how much|how many) does {x} (exceed|beat|outnumber) {y}{c}, or the other way round?",
        "what is the (distance|margin|gap|difference) between the (counts|numbers) of {x} and "
        "{y}{c}?",
        "take the {w} that are {x} and those that are {y}{c}: what is the difference?",
        "how many {w} (separate|lie between) {x} and {y}{c}?",
        "{x} minus {y} in number of {w}{c}: how many?",
        "(compute|work out|find|report) the difference in number between {x} and {y}{c}.",
        "if the (count|number) of {y} is taken away from that of {x}{c}, what (remains|is over)?",
    ),
    (
        "how far apart are {x} and {y} in number{c}?",
        "how big is the gap between {x} and {y}{c}?",
        "by what number is {x} away from {y}{c}?",
        "subtract {y} from {x}{c}; how much is left?",
        "the count of {x} differs from that of {y} by how much{c}?",
    ),
    Composed(
        nouns=(
            "the difference (in number of {w}|in number|in count) between {x} and {y}{c}",
            "the (gap|margin|difference|distance) between the (counts|numbers) of {x} and {y}{c}",
        ),
        asks=(
            "how many more {w} (are|count as|pass as) {x} than {y}{c}",
            "how (large|great) the (difference|gap|margin) between {x} and {y} is{c}",
            "by how many {w} {x} and {y} differ{c}",
        ),
        deeds=(
            "(compute|calculate|take|find) the difference (in number|in count) between {x} "
            "and {y}{c}",
            "(compare|count) {x} and {y}{c} and give the difference",
        ),
    ),
    written=section("labels", "gap"),
)
BY = Wording(
    (
        "which {b} has the most {w} that are {x}{c}?",
        "for which {b} is {x} most (common|frequent){c}?",
        "name the {b} with the largest number of {x}{c}.",
        "which {b} (gets|has) {x} most often{c}?",
        "which {b} (counts|collects|holds|shows) the most {w} (labelled|marked|that are) {x}{c}?",
        "count {x} by {b}{c}: which (is first|comes first|is on top)?",
        "with which {b} (do we find|is there|comes) {x} most often{c}?",
        "(find|report|tell me) the {b} with the most {x}{c}.",
        "which {b} (beats|tops|exceeds) all the rest in number of {x}{c}?",
        "in which {b} is {x} (commonest|most frequent|seen the most){c}?",
    ),
    (
        "which {b} leads in {x}{c}?",
        "more {x} than any other has which {b}{c}?",
        "by count of {x}, which {b} is ahead of all others{c}?",
        "under which {b} does {x} turn up most{c}?",
        "the {b} with the top count of {x}{c}?",
    ),
    Composed(
        nouns=(
            "the {b} (with|that has|that gets|that shows) the most {x}{c}",
            "the {b} (with|that has) the (largest|highest|greatest) (number|count) of {x}{c}",
            "the {b} where {x} is most (common|frequent){c}",
        ),
        asks=(
            "which {b} (has|gets|shows|holds) the most {w} (that are|labelled|marked) {x}{c}",
            "for which {b} {x} is most (common|frequent){c}",
            "with which {b} {x} (occurs|comes up|is found|is seen) most often{c}",
        ),
        deeds=(
            "count {x} (by|per|for each) {b}{c} and (give|name|take) the (top|largest|first) one",
            "(rank|sort|order|compare) the {b}s by number of {x}{c} and (give|name|take) the "
            "(first|top one)",
        ),
    ),
    written=section("labels", "by"),
)
