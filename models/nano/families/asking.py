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
    ),
    (
        "how far apart are {x} and {y} in number of {w}{c}?",
        "how big is the gap between {x} and {y}{c}?",
        "subtract the {w} of {y} from those of {x}{c}; what is left?",
        "by what number is {x} ahead of {y}{c}?",
        "the count of {x} differs from that of {y} by how much{c}?",
    ),
)
