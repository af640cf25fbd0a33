"""Several values at once, for the needles with several values or several keys."""

from __future__ import annotations

#: Follows `programs.LOCATE`. `each`: the value of each key that the question lists; `every`: the
#: values beside all places of its one key; as near to their key as the nearest one, or nearly. A
#: question lists several if two of its parts have a value of their own, the second by a phrase
#: that is not much commoner than the first's: then `every` is `each`, and where no part has any,
#: `each` is `every`. The one key is the phrase of the question beside the best hit that is long
#: and has few places, but more than one.
GATHER = r"""whole = question
def beside(form, before, after):
    found = [(far(before[m.end():]), m[0]) for m in re.finditer(forms[form], before)]
    found += [(far(after[:m.start()]), m[0]) for m in re.finditer(forms[form], after)]
    return min([f for f in found if f[1] not in whole] or [(9999, None)])
def close(found):
    found = [f for f in found if f[0] <= min(found)[0] + 50 and f[1]]
    return ", ".join(dict.fromkeys(v for _, v in found))
def spots(p):
    found = [(t, k, k + len(p)) for t in docs for k in places(p, t)]
    return [s for s in found if is_word(*s)]
def of_one(form):
    cost = lambda h: beside(form, h[1], h[3])[0] - 50 * math.log2(h[0])
    _, before, key, after = min(hits, key=cost)
    near = before[-100:] + key + after[:100]
    words = [m.span() for m in re.finditer(r"\w(?:[\w-]*\w)?", question)]
    found = {question[a:b] for i, (a, _) in enumerate(words) for _, b in words[i:i + 4]}
    count = {p: len(spots(p)) for p in found if p in near}
    few = [p for p in count if 1 < count[p] < 1000]
    key = max(few, key=lambda p: len(p) ** 2 / count[p] ** 3, default=key)
    return close([beside(form, t[max(0, k - 200):k], t[e:e + 200]) for t, k, e in spots(key)])
def listed(form):
    global question
    found = []
    for question in re.split(r"[,;:?]| and |\. ", whole):
        there = locate()
        near = [h for h in there if beside(form, h[1], h[3])[0] < 300]
        key = there[0][2] if there else ""
        its = spots(key) if " " in key else []
        around = [(t[max(0, k - 200):k], t[e:e + 200]) for t, k, e in its]
        values = sorted(beside(form, *place) for place in around)
        sure = {v for gap, v in values if gap < min(values[0][0] + 50, 300)}
        if len(sure) == 1:
            found.append((len(key) ** 2, values[0]))
        elif len(near) == 1 or near and near[1][0] < near[0][0] * 0.9:
            found.append((near[0][0], beside(form, near[0][1], near[0][3])))
    question = whole
    return found
def gathered(form, least):
    form = likely(form)
    found = listed(form)
    best = {value: score for score, (_, value) in sorted(found)}
    first = max(best.values(), default=0)
    if sum(score > first * 0.2 for score in best.values()) >= least:
        return close([f for score, f in found if score > first * 0.05])
    return of_one(form)
def every(form):
    return gathered(form, 2)
def each(form):
    return gathered(form, 1)"""
