"""Several values at once, for the needles with several values or several keys."""

from __future__ import annotations

#: Follows `programs.LOCATE`. `every`: the values beside all places of one key; `each`: the
#: value of each key that the question lists. As near to its key as the nearest one, or nearly.
GATHER = r"""def beside(form, key, before, after):
    found = [(far(before[m.end():]), m[0]) for m in re.finditer(forms[form], before)]
    found += [(far(after[:m.start()]), m[0]) for m in re.finditer(forms[form], after)]
    return min([f for f in found if f[1] not in question] or [(9999, None)])
def close(found):
    found = [f for f in found if f[0] <= min(found)[0] + 50 and f[1]]
    return ", ".join(dict.fromkeys(v for _, v in found))
def every(form):
    cost = lambda h: math.log2(hits[0][0] / h[0]) * 50 + beside(form, h[2], h[1], h[3])[0]
    key = min(hits, key=cost)[2]
    spots = [(t, k, k + len(key)) for t in docs for k in places(key, t)]
    spots = [s for s in spots if is_word(*s)]
    return close([beside(form, key, t[max(0, k - 200):k], t[e:e + 200]) for t, k, e in spots])
def each(form):
    global question
    whole, found = question, []
    for question in re.split(r"[,;:?]| and |\. ", whole):
        near = [h for h in locate() if beside(form, h[2], h[1], h[3])[0] < 300]
        if len(near) == 1 or near and near[1][0] < near[0][0] * 0.9:
            score, before, key, after = near[0]
            found.append(beside(form, key, before, after))
    question = whole
    return close(found)"""
