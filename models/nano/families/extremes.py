"""How questions about a table's highest and lowest numbers are worded; fields as in `asking`."""

from __future__ import annotations

from models.nano.families.wording import Wording
from models.nano.phrasing import Composed
from models.nano.written import section

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
    Composed(
        nouns=(
            "the (highest|largest|greatest|maximum|biggest|top) {n} (of the {w}|among the "
            "{w}|in the {w}|that occurs|on file|){c}",
            "the (peak|maximum|upper bound|upper end) of (the |){n}{c}",
            "the (highest|largest|greatest|maximum|biggest|top) of (the|all) {n} values{c}",
        ),
        asks=(
            "how (high|large) the (highest|largest|greatest|maximum|biggest|top) {n} is{c}",
            "what the (highest|largest|greatest|maximum|biggest|top) {n} is{c}",
            "what {n} is never exceeded{c}",
        ),
        deeds=(
            "(pick|take|pick out|single out|quote) the "
            "(highest|largest|greatest|maximum|biggest|top) {n} (of the {w}|){c}",
            "go through the {n} values{c} and (keep|take|name) the "
            "(highest|largest|greatest|maximum|biggest|top)",
        ),
    ),
    written=section("figures", "high"),
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
    Composed(
        nouns=(
            "the (lowest|smallest|least|minimum) {n} (of the {w}|among the {w}|in the "
            "{w}|that occurs|on file|){c}",
            "the (minimum|lower bound|lower end|low point) of (the |){n}{c}",
            "the (lowest|smallest|least|minimum) of (the|all) {n} values{c}",
        ),
        asks=(
            "how (low|small) the (lowest|smallest|least|minimum) {n} is{c}",
            "what the (lowest|smallest|least|minimum) {n} is{c}",
            "what {n} is never undercut{c}",
        ),
        deeds=(
            "(pick|take|pick out|single out|quote) the (lowest|smallest|least|minimum) {n} "
            "(of the {w}|){c}",
            "go through the {n} values{c} and (keep|take|name) the (lowest|smallest|least|minimum)",
        ),
    ),
    written=section("figures", "low"),
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
    Composed(
        nouns=(
            "the {b} of the (row|record|entry|line|item) (with|that has|that shows) the "
            "(highest|largest|greatest|maximum|biggest) {n}{c}",
            "the {b} (behind|beside|next to|that goes with|that stands by|in the line of) "
            "the (single|one) (highest|largest|greatest|maximum|biggest) {n}{c}",
        ),
        asks=(
            "which {b} (has|holds|shows|goes with|stands by) the (single|one) "
            "(highest|largest|greatest|maximum|biggest) {n}{c}",
            "under which {b} the (single|one) (highest|largest|greatest|maximum|biggest) {n} "
            "(is found|occurs|is listed|stands){c}",
            "what {b} the one of the {w} with the (highest|largest|greatest|maximum|biggest) "
            "{n} has{c}",
        ),
        deeds=(
            "(look for|pick out|go to|take|single out) the (row|record|entry|line) with the "
            "(highest|largest|greatest|maximum|biggest) {n}{c} and "
            "(give|name|state|quote|read off) its {b}",
            "(name|give|quote) the {b} in the (row|record|line) (of|with) the "
            "(highest|largest|greatest|maximum|biggest) {n}{c}",
        ),
    ),
    written=section("rankings", "top-holder"),
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
    Composed(
        nouns=(
            "the {b} of the (row|record|entry|line|item) (with|that has|that shows) the "
            "(lowest|smallest|least|minimum) {n}{c}",
            "the {b} (behind|beside|next to|that goes with|that stands by|in the line of) "
            "the (single|one) (lowest|smallest|least|minimum) {n}{c}",
        ),
        asks=(
            "which {b} (has|holds|shows|goes with|stands by) the (single|one) "
            "(lowest|smallest|least|minimum) {n}{c}",
            "under which {b} the (single|one) (lowest|smallest|least|minimum) {n} (is "
            "found|occurs|is listed|stands){c}",
            "what {b} the one of the {w} with the (lowest|smallest|least|minimum) {n} has{c}",
        ),
        deeds=(
            "(look for|pick out|go to|take|single out) the (row|record|entry|line) with the "
            "(lowest|smallest|least|minimum) {n}{c} and (give|name|state|quote|read off) its "
            "{b}",
            "(name|give|quote) the {b} in the (row|record|line) (of|with) the "
            "(lowest|smallest|least|minimum) {n}{c}",
        ),
    ),
    written=section("rankings", "low-holder"),
)
