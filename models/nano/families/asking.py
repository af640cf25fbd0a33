"""How the questions about tables are worded.

In the cores `{w}` is what a row is called, `{b}` the field to group by, `{n}` the field of
numbers, `{x}` and `{y}` two values, and `{c}` the conditions, which bring their own space.
"""

from __future__ import annotations

from models.nano.families.wording import Wording

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
)
HIGH = Wording(
    (
        "what is the (highest|largest|greatest|maximum) {n}{c}?",
        "how (high|large) is the (largest|highest) {n}{c}?",
        "give the (maximum|peak|top) {n} of the {w}{c}.",
        "find the biggest {n}{c}.",
        "what is the (most|top|biggest) {n} that (occurs|appears|is reached|is seen){c}?",
        "what is the (peak|maximum|upper limit|ceiling) of {n}{c}?",
        "how (far up|high) does {n} (rise|get|climb){c}?",
        "no {n} is (higher|larger|greater) than which{c}?",
        "name the one {n} that is (above|higher than) all the (others|rest){c}.",
        "(maximum|highest|largest|top) {n}{c}, please.",
        "among all {n} values{c}, which is the (greatest|highest|largest|biggest)?",
        "at most, how (high|large|much) is the {n}{c}?",
        "(report|state|tell me|say) the (largest|greatest|highest|maximum) {n}{c}.",
        "the {n} is never (more|higher|larger) than what{c}?",
    ),
    (
        "what does {n} reach at most{c}?",
        "the top value of {n}{c} is what?",
        "report the maximal {n}{c}.",
        "up to what value does {n} go{c}?",
        "of all {w}{c}, what is the highest {n}?",
    ),
)
LOW = Wording(
    (
        "what is the (lowest|smallest|least|minimum) {n}{c}?",
        "how (low|small) is the (smallest|lowest) {n}{c}?",
        "give the (minimum|least) {n} of the {w}{c}.",
        "find the smallest {n}{c}.",
        "what is the (least|lowest|smallest) {n} that (occurs|appears|is reached|is seen){c}?",
        "what is the (minimum|floor|lower limit) of {n}{c}?",
        "how (far down|low) does {n} (fall|get|drop){c}?",
        "no {n} is (lower|smaller|less) than which{c}?",
        "name the one {n} that is (below|lower than) all the (others|rest){c}.",
        "(minimum|lowest|smallest|least) {n}{c}, please.",
        "among all {n} values{c}, which is the (least|lowest|smallest)?",
        "at the least, how (low|small|much) is the {n}{c}?",
        "(report|state|tell me|say) the (smallest|lowest|minimum) {n}{c}.",
        "the {n} is never (less|lower|smaller) than what{c}?",
    ),
    (
        "what is {n} at least{c}?",
        "the bottom value of {n}{c} is what?",
        "report the minimal {n}{c}.",
        "down to what value does {n} go{c}?",
        "of all {w}{c}, what is the lowest {n}?",
    ),
)
TOP_HOLDER = Wording(
    (
        "which {b} has the single (highest|largest) {n}{c}?",
        "what is the {b} of the (entry|row|record) with the (highest|largest|greatest) {n}{c}?",
        "name the {b} where {n} is at its (maximum|highest) in one row{c}.",
        "the (record|row|line) with the most {n}{c}: what is its {b}?",
        "(in|under) which {b} does the (highest|largest|biggest|greatest|top) single {n} "
        "(occur|appear|show up){c}?",
        "which {b} is behind the one (largest|highest|top|biggest) {n}{c}?",
        "which {b} holds the record for {n} in one (row|line|record|entry){c}?",
        "take the one of the {w} with the (maximum|highest|biggest) {n}{c}: what {b} does it "
        "(have|give|show)?",
        "which {b} goes with the (peak|highest|largest|maximum) {n} of any one "
        "(row|line|record){c}?",
        "what is the {b} in the one of the {w} that has the (biggest|top|greatest) {n}{c}?",
        "sorted by {n}, what {b} is in the (first|top|highest) (row|line){c}?",
        "the (largest|highest|maximum) {n} in any one (row|record|line){c} is of which {b}?",
        "find the (entry|row|record) where {n} is (highest|largest|greatest){c}; name its {b}.",
    ),
    (
        "to which {b} does the one entry with the top {n} belong{c}?",
        "find the record with maximal {n}{c} and give its {b}.",
        "whose single {n} is the greatest{c}? Give the {b}.",
        "which {b} stands in the line with the biggest {n}{c}?",
        "look for the row of the highest {n}{c}; which {b} is in it?",
    ),
)
LOW_HOLDER = Wording(
    (
        "which {b} has the single (lowest|smallest) {n}{c}?",
        "what is the {b} of the (entry|row|record) with the (lowest|smallest|least) {n}{c}?",
        "name the {b} where {n} is at its (minimum|lowest) in one row{c}.",
        "the (record|row|line) with the least {n}{c}: what is its {b}?",
        "(in|under) which {b} does the (lowest|smallest|least) single {n} (occur|appear|show "
        "up){c}?",
        "which {b} is behind the one (smallest|lowest|least) {n}{c}?",
        "which {b} holds the lowest {n} in one (row|line|record|entry){c}?",
        "take the one of the {w} with the (minimum|lowest|smallest) {n}{c}: what {b} does it "
        "(have|give|show)?",
        "which {b} goes with the (bottom|lowest|smallest|minimum) {n} of any one "
        "(row|line|record){c}?",
        "what is the {b} in the one of the {w} that has the (smallest|least|lowest) {n}{c}?",
        "sorted by {n}, what {b} is in the (last|bottom|lowest) (row|line){c}?",
        "the (smallest|lowest|minimum) {n} in any one (row|record|line){c} is of which {b}?",
        "find the (entry|row|record) where {n} is (lowest|smallest|least){c}; name its {b}.",
    ),
    (
        "to which {b} does the one entry with the bottom {n} belong{c}?",
        "find the record with minimal {n}{c} and give its {b}.",
        "whose single {n} is the smallest{c}? Give the {b}.",
        "which {b} stands in the line with the lowest {n}{c}?",
        "look for the row of the smallest {n}{c}; which {b} is in it?",
    ),
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
)
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
