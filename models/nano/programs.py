"""The cells that the model learns to write and to choose among.

None of them spells a key or a value. `LOCATE` takes the phrases of the question
that occur in the text, ranks the passages around the rarest, and shows for each form
that a value can have the one nearest to a key; `final` says which form is asked for.
"""

from __future__ import annotations

#: Finds the phrases of the question that the text contains: for each word the longest
#: one that begins with it (two pointers, a pass over the text for each step), and that
#: one less its last word. Phrases that occur thousands of times say nothing and are
#: dropped; passages around the others are ranked by the phrases in their line or
#: sentence, long and rare ones counting most, and then by what stands beside the phrase: a
#: key that is here a name and there, by chance, a value. One that comes again in the same
#: words is told once. Case, hyphens and underscores do not matter (up to a length of which
#: the guest can hold a copy), but where a phrase is spelled as the question spells it, that
#: is a rarer one.
LOCATE = """\
import math, re
from collections import Counter
docs = [context] if isinstance(context, str) else context
small = sum(map(len, docs)) < 50000000
def fold(t):
    parts = (c.lower().replace("_", " ").replace("-", " ") for c in chunks(t, 1000000))
    return "".join(parts) if small else t
def places(p, t):
    k, found = t.find(p), []
    while k >= 0 and len(found) < 1000:
        found.append(k)
        k = t.find(p, k + 1)
    return found
def is_word(t, k, end):
    return not (t[k - 1:k].isalnum() or t[end:end + 1].isalnum())
def locate():
    q, texts = fold(question), [fold(t) for t in docs]
    asked = question.lower()
    words = [m.span() for m in re.finditer(r"[^\\W_]+", q)]
    spots, weight, ranked, hits, j = {}, {}, [], [], 0
    for i, (start, _) in enumerate(words):
        j = max(i, j)
        while j < len(words) and any(q[start:words[j][1]] in t for t in texts):
            j += 1
        for last in {max(i, j - 1), max(i, j - 2)}:
            p = q[start:words[last][1]]
            at = [(d, k) for d, t in enumerate(texts) for k in places(p, t)]
            if len(at) < 1000:
                at = [(d, k) for d, k in at if is_word(texts[d], k, k + len(p))]
                e = asked[start:words[last][1]]
                same = [(d, k) for d, k in at if docs[d][k:k + len(p)].lower() == e]
                for p, at in ((e, same), (p, at)):
                    if at:
                        spots[p], weight[p] = at, len(p) ** 2 / len(at)
    for p in sorted(weight, key=weight.get)[-20:]:
        sides = [(docs[d][k - 2:k], docs[d][k + len(p):k + len(p) + 2]) for d, k in spots[p]]
        common = Counter(sides)
        for side, (d, k) in zip(sides, spots[p]):
            t, end = texts[d], k + len(p)
            a = k - len(re.split(r"\\n|\\. ", t[max(0, k - 150):k])[-1])
            b = end + len(re.split(r"\\n|\\. ", t[end:end + 150])[0])
            near = t[a:b] + "\\n" + docs[d][a:b].lower()
            score = weight[p] + sum(weight[s] for s in weight if s in near)
            score *= 1 + 0.1 / common[side]
            ranked.append((score, d, k, p))
    seen = set()
    for score, d, k, p in sorted(ranked, reverse=True):
        if len(hits) == 12:
            break
        here = docs[d][max(0, k - 60):k + 60]
        if here not in seen and all(e != d or abs(k - l) > 60 for e, l, *_ in hits):
            seen.add(here)
            t, end = docs[d], k + len(p)
            hits.append((d, k, score, t[max(0, k - 200):k], t[k:end], t[end:end + 200]))
    return [hit[2:] for hit in hits]
def far(gap):
    ends = re.findall(r"\\n|(?<![.\\s])[.!?] ", gap)
    return len(gap) + 120 * len(ends) + 150 * gap.count("\\n\\n")
forms = {
    "number": r"(?<![0-9a-f]-)\\b\\d{5,}\\b(?!-[0-9a-f])",
    "word": r"\\b[a-z]+-[a-z]+\\b",
    "uuid": r"\\b[0-9a-f]{8}-[0-9a-f-]{27}\\b",
}
def candidate(form):
    found, unnamed = [(9999, None)], 9 * (form not in question.lower())
    for score, before, key, after in hits:
        doubt = unnamed + round(50 * math.log2(hits[0][0] / score))
        for m in re.finditer(forms[form], before):
            found.append((doubt + far(before[m.end():]), m[0]))
        for m in re.finditer(forms[form], after):
            found.append((doubt + far(after[:m.start()]), m[0]))
    return min(f for f in found if str(f[1]) not in question.lower())
hits = locate()
for _, before, key, after in hits[:2]:
    print(repr(before[-50:]), "[" + key + "]", repr(after[:70]))
order = sorted(forms, key=candidate)
def likely(form):
    return form if candidate(form)[0] <= candidate(order[0])[0] + 30 else order[0]
def nearest(form):
    return candidate(likely(form))
print("nearest", order[0])
for form in order:
    print(form, *candidate(form))"""


def final(form: str) -> str:
    """The cell that ends the run with the value of that form that is nearest to the key."""
    return f'FINAL(nearest("{form}")[1])'


def turn(cell: str) -> str:
    """A whole turn of the model: the cell in its fence."""
    return f"```repl\n{cell}\n```"
