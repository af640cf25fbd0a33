"""How questions about chains are worded.

`{k}` is the key, `{r}` what a link is called, `{a}` a value's name, `{s}` a number of steps,
`{o}` the same as an ordinal.
"""

from __future__ import annotations

from models.nano.families.wording import Wording
from models.nano.phrasing import Composed
from models.nano.written import section

LAST = Wording(
    (
        "starting from {k}, follow the (references|links|steps) to the end. Where do they end?",
        "which is the (last|final) {r} when you start at {k}?",
        "begin with {k} and (go|walk) on until there is no next one. What is the last one?",
        "follow {k} to the end of its (chain|line) and name the (last|end).",
        "where does the (chain|path|trail) that begins at {k} (end|stop)?",
        "what is at the very end of the (chain|path) from {k}?",
        "go from {k} to the next and the next. Which one is last?",
        "who or what is the end of the {r} line of {k}?",
        "{k}: which one (ends|closes) its chain?",
        "trace {k} as far as it goes. Where do you (stop|arrive)?",
        "(where|at which one) do you (arrive|end up|get to|come out) if you follow {k} (to the "
        "end|all along|until nothing follows)?",
        "(give|report|tell me) the (last|final|end) (one|member|point|station) of the chain of "
        "{k}.",
        "{k} leads on and on. What (is|comes) last?",
        "go on from {k} as long as (you can|it goes). What is the (last|final) one?",
        "from {k}, (keep going|walk on|move on) to the (last|final) {r}. Which is it?",
        "what does the (chain|line|path|trail) from {k} (end with|finish with|come to at last)?",
        "in the end, {k} (leads|brings you|goes) where?",
        "(find|name) the one that nothing follows, starting (from|with|at) {k}.",
    ),
    (
        "if I set out at {k} and keep going, at which one do I finish?",
        "follow the {r} trail from {k}; what is its final point?",
        "from {k} onwards, which is the last to be reached?",
        "the chain of {k} ends with what?",
        "keep following from {k} until it stops. Name the last.",
    ),
    Composed(
        nouns=(
            "the (last|final) (one|{r}|member|station) (of|on|in) the "
            "(chain|path|trail|line) (of|from|that begins with|that starts at) {k}",
            "the (end|endpoint|end point|last point) of the (chain|path|trail|line) "
            "(of|from|that begins with|that starts at) {k}",
            "the (last|final) one that {k} leads to",
        ),
        asks=(
            "where the (chain|path|trail|line) (of|from|that starts at) {k} "
            "(ends|stops|comes to an end)",
            "which one is (last|at the end) on the (chain|path|trail|line) (of|from) {k}",
            "where (one|you) (ends up|arrives|comes out|stops) (following|starting "
            "from|going on from) {k}",
        ),
        deeds=(
            "(follow|trace|track) {k} (to the end|as far as it goes|until nothing comes "
            "after) and (name|give|quote) the (last|final) one",
            "(go|walk|move) along the (chain|path|trail|line) of {k} and (name|give|quote) "
            "(its end|the last one)",
        ),
    ),
    written=section("chains", "last"),
)
VALUE = Wording(
    (
        "follow the (references|links) from {k} to the end. What is the {a} there?",
        "what {a} does the (last|final) one of the (chain|line) from {k} have?",
        "start at {k}, go on to the end, and give the {a} of the last one.",
        "which {a} is (held|kept) at the end of the (chain|path) that begins with {k}?",
        "which {a} do you get to by following {k}?",
        "{k} leads to a {a} in the end. Which (one|is it)?",
        "trace {k} to the end of its (chain|path) and read the {a} there.",
        "the {a} that (stands|lies) at the end of the trail of {k} is what?",
        "(give|report|tell me|find) the {a} at the (end|close|last point) of the "
        "(chain|path|line) of {k}.",
        "(starting|setting out) from {k}, go to the last one; what {a} does it (have|hold|carry)?",
        "what is the {a} of the (last|final) one that {k} leads to?",
        "(walk|go|move) from {k} to the end, where there is a {a}. What is it?",
        "at the end of what {k} begins, which {a} (is there|stands|is found)?",
        "through all the (steps|links) from {k} one comes to a {a}. Which?",
    ),
    (
        "walk the chain from {k}; what is the {a} of its last member?",
        "what is the {a} once you have followed {k} all the way?",
        "go through the chain from {k} and report the {a} at its end.",
        "at the end of the line from {k} there is a {a}; which?",
        "beginning with {k}, follow on to the {a} at the end.",
    ),
    Composed(
        nouns=(
            "the {a} at the (end|very end|last point) of the (chain|path|trail|line) "
            "(of|from|that begins with|that starts at) {k}",
            "the {a} of the (last|final) (one|member|station) (of|on) the "
            "(chain|path|trail|line) (of|from) {k}",
            "the {a} that {k} leads to (in the end|at last|finally)",
        ),
        asks=(
            "(which|what) {a} (is|stands|lies|is kept) at the end of the "
            "(chain|path|trail|line) (of|from|that starts at) {k}",
            "(which|what) {a} {k} leads to (in the end|at last|finally)",
        ),
        deeds=(
            "(follow|trace|track) {k} (to the end|as far as it goes|to the last one) and "
            "(give|quote|read|name) the {a} (there|you find there|that it has)",
            "(go|walk|move) along the (chain|path|trail|line) of {k} and (give|quote|read) "
            "the {a} at the end",
        ),
    ),
    written=section("chains", "value"),
)
NTH = Wording(
    (
        "which one comes {s} after {k}?",
        "what is {s} (on|further) from {k}?",
        "start at {k} and (take|go) {s}. Where are you?",
        "name the one that is {s} behind {k}.",
        "after {s} from {k}, which {r} (is reached|do we reach)?",
        "going {s} from {k} (leads|brings us) to what?",
        "follow {k} for {s} only. What is (there|found)?",
        "which is {s} away from {k}?",
        "(give|report|tell me|find) the one (reached|that comes) {s} (after|from|past) {k}.",
        "{s} after {k}, (where are we|which one is there|what do we meet)?",
        "(moving|walking|going on) {s} from {k}, where do (you|we|I) (arrive|come to|end up)?",
        "which one do you (find|reach|get to) if you (take|go|make) {s} from {k}?",
        "beginning with {k}, (go|take|make) {s}; which {r} is that?",
        "where is one {s} (down the line|down the chain|later) from {k}?",
    ),
    (
        "if you go {s} along the chain of {k}, what do you find?",
        "{s} beyond {k}: which one is it?",
        "beginning at {k}, what is reached in {s}?",
        "where does one stand after {s} starting with {k}?",
        "count {s} from {k} and name that one.",
    ),
    Composed(
        nouns=(
            "the one {s} (after|behind|past|away from|further than) {k}",
            "the (one|{r}|place|member) (reached|that is reached|found) {s} (after|from) {k}",
        ),
        asks=(
            "which one (is|comes|lies|stands) {s} (after|behind|past|away from) {k}",
            "where (one|you) (is|comes|arrives) {s} (after|from|past) {k}",
        ),
        deeds=(
            "(go|walk|move|take|make) {s} from {k} and (name|give|quote) the one (there|that "
            "is reached|you are at)",
            "follow the (chain|path|trail|line) of {k} for {s} and (name|give|quote) the one there",
        ),
    ),
    written=section("chains", "nth") + section("chains", "ordinal"),
)
ALL = Wording(
    (
        "find all (variables|names) that are assigned the value {k} in the text above.",
        "list (all|every one) that can be reached from {k}.",
        "which ones (lie|come) on the chain that begins with {k}? List them all.",
        "give all the members of the (chain|path) from {k}, without {k}.",
        "which (variables|entries) have the value {k}, directly or not?",
        "name everything that follows from {k}, (in order|one after the other).",
        "return the (whole|full) chain of {k}.",
        "list each {r} that comes after {k}, to the end.",
        "(give|report|write|name) (all|every one|each) of the chain that {k} (begins|starts), in "
        "order.",
        "what comes after {k}? (List|Name|Give) all, to the end.",
        "which ones (follow|come after|are behind) {k}? All of them.",
        "what are all the (names|variables|entries) that (get|have|share) the value {k}?",
        "list the (whole|full|complete) (path|line|chain) from {k} on.",
        "(all|everything) that {k} leads to, (one by one|in order), please.",
        "follow {k} and write down (all|each one|everything) on the way.",
    ),
    (
        "what are all the stations after {k}?",
        "enumerate the complete chain starting from {k}.",
        "which of them hold {k} in the end? List every one.",
        "write down all that are linked to {k}, step by step.",
        "all variables whose value is {k}: what are they?",
    ),
    Composed(
        nouns=(
            "(all|all the ones|the ones|all those) (on|in) the (chain|path|trail|line) "
            "(of|from|that begins with|that starts at) {k}",
            "(all|all those|all the names) that (come after|can be reached from|follow "
            "from|are behind) {k}",
            "(all|all the) (variables|names|entries) (with|that have|that are given|that "
            "hold) the value {k}",
        ),
        asks=(
            "which ones (are|lie|come|stand) on the (chain|path|trail|line) (of|from|that "
            "starts at) {k}, (all of them|to the end)",
            "which (variables|names|entries) (have|get|are given|hold) the value {k}, (all "
            "of them|directly or not)",
        ),
        deeds=(
            "(list|name|write down|collect|gather) (all|all those|everything) that (comes "
            "after|can be reached from|follows from) {k}",
            "(follow|trace|track) {k} (to the end|as far as it goes) and (list|name|write "
            "down) (all|everything) on the way",
            "(list|name|write down|collect) all (variables|names|entries) (with|that "
            "have|that are given) the value {k}",
        ),
        plural=True,
    ),
    written=section("chains", "all"),
)
COUNT = Wording(
    (
        "how many (steps|hops) is it from {k} to the end of the chain?",
        "how many come after {k} (in its chain|on its path)?",
        "how long is the chain that (begins|starts) at {k}, not counting {k}?",
        "count the (variables|names) that are assigned the value {k}.",
        "what is the number of (links|steps) from {k} to the last one?",
        "how often can you go on from {k}?",
        "in how many steps does {k} reach its end?",
        "count all that follow {k}.",
        "(give|report|tell me|find) the number of (steps|links|hops) from {k} to the end.",
        "how many (links|hops|moves) (follow|come) after {k}?",
        "how many (names|variables|entries) (get|have|share) the value {k}?",
        "how (far|many steps) is the end from {k}?",
        "how many are (behind|beyond|after) {k} in the (chain|path|line)?",
        "what is the (count|number) of all that {k} leads to?",
        "(starting|setting out) at {k}, how many (steps|moves) until the end?",
    ),
    (
        "how many others does the chain from {k} contain?",
        "tell me the number of stations behind {k}.",
        "how many variables end up with {k}?",
        "the way from {k} to its end takes how many steps?",
        "what is the length of the path after {k}?",
    ),
    Composed(
        nouns=(
            "the number of (steps|hops|links|moves) from {k} to the (end|last one)",
            "the (number|count) of (those|members|entries) (after|behind|beyond) {k} (on its "
            "(chain|path|trail|line)|in its (chain|path|trail|line)|)",
            "the (number|count) of (variables|names|entries) (with|that have|that are given) "
            "the value {k}",
        ),
        asks=(
            "how many (steps|hops|links|moves) (there are|it takes|it is) from {k} to the "
            "(end|last one)",
            "how many (variables|names|entries) (have|get|are given|hold) the value {k}",
            "how many (come|there are|follow) after {k} (on its (chain|path|trail|line)|in "
            "its (chain|path|trail|line)|)",
        ),
        deeds=(
            "count the (steps|hops|links|moves) from {k} to the (end|last one)",
            "count (all|those|the ones) that (come after|follow|are behind|can be reached "
            "from) {k}",
            "count (all|the) (variables|names|entries) (with|that have|that are given) the "
            "value {k}",
        ),
    ),
    written=section("chains", "count"),
)
