"""Several values at once, for the needles with several values or several keys."""

from __future__ import annotations

#: Follows `programs.LOCATE`. `every`: the values beside all places of one key; `each`: the
#: value of each key that the question lists. As near to its key as the nearest one, or nearly.
#: The key of `every` is the phrase of the question beside the best hit that is long and has
#: few places, but more than one.
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
def every(form):
    cost = lambda h: beside(form, h[1], h[3])[0] - 50 * math.log2(h[0])
    _, before, key, after = min(hits, key=cost)
    near = before[-100:] + key + after[:100]
    words = [m.span() for m in re.finditer(r"\w(?:[\w-]*\w)?", question)]
    found = {question[a:b] for i, (a, _) in enumerate(words) for _, b in words[i:i + 4]}
    count = {p: len(spots(p)) for p in found if p in near}
    few = [p for p in count if 1 < count[p] < 1000]
    key = max(few, key=lambda p: len(p) ** 2 / count[p] ** 3, default=key)
    return close([beside(form, t[max(0, k - 200):k], t[e:e + 200]) for t, k, e in spots(key)])
def each(form):
    global question
    found = []
    for question in re.split(r"[,;:?]| and |\. ", whole):
        near = [h for h in locate() if beside(form, h[1], h[3])[0] < 300]
        if len(near) == 1 or near and near[1][0] < near[0][0] * 0.9:
            found.append((near[0][0], beside(form, near[0][1], near[0][3])))
    question = whole
    return close([f for score, f in found if score > max(found)[0] * 0.05])"""
