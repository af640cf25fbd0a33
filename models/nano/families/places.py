"""Who is first, second or last by some measure: clauses that `ranking` and `totalling` share."""

from __future__ import annotations

_MEASURES = {
    "count": "(by (number of {w}|count|frequency)|counting (the |){w}|with the {w} counted|"
    "if (one counts the {w}|the {w} are counted)( for each {b}|))",
    "total": "(by (the sum|the total|sums) of {n}|summing {n}( up|)|adding {n}( up| together|)|"
    "totalling {n}|with {n} (added up|summed|totalled)|"
    "if {n} is (added up|totalled|summed up)( for (each|every) {b}| by {b}|))",
    "mean": "(by (mean|average) {n}|by the (mean|average) of {n}|taking the (mean|average) of {n}|"
    "with {n} averaged|when {n} is averaged( for (each|every) {b}| per {b}|)|averaging (the |){n}"
    "( of each {b}|))",
}
_PLACES = {
    "first": "(is (ahead|in front|on top|in the lead|at the head|first|number one)|"
    "(comes|ranks|stands) (first|top|at the top)|(leads|wins|beats the rest))",
    "second": "(is (second|number two|the runner-up|next to the leader|right after the leader|"
    "one place below the top)|(comes|ranks|stands) (second|as the runner-up|right behind the "
    "leader)|takes (second place|place two)|loses only to the (leader|first))",
    "last": "(is (last|behind|at the bottom|the lowest|at the end)|(comes|ranks|stands) (last|at "
    "the bottom|lowest)|(trails|loses|stays below the rest))",
}


def nouns(measure: str, place: str) -> tuple[str, ...]:
    """ "the team that is first by count"."""
    return (f"the {{b}} that {_PLACES[place]} {_MEASURES[measure]}{{c}}",)


def asks(measure: str, place: str) -> tuple[str, ...]:
    """ "which team is first by count"; the measure may come before."""
    by, is_there = _MEASURES[measure], _PLACES[place]
    return (
        f"which {{b}} {is_there} {by}{{c}}",
        f"{by}{{c}}, which {{b}} {is_there}",
        f"{by}, which {{b}} {is_there}{{c}}",
    )
