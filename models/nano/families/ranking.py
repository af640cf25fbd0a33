"""How questions that compare the groups of a table are worded; the fields as in `asking`."""

from __future__ import annotations

from models.nano.families.wording import Wording

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
)
