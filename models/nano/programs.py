"""The cells that the model learns to write and to choose among.

None of them spells a key or a value: `LOCATE` takes the phrases of the question
that occur in the text and ranks the passages around the rarest of them; `final`
takes the value out of a passage that the model has seen.
"""

from __future__ import annotations

#: Finds the phrases of the question that the text contains: for each word the longest
#: one that begins with it (two pointers, a pass over the text for each step), and that
#: one less its last word. Phrases
#: that occur thousands of times say nothing and are dropped; passages around the others
#: are ranked by the phrases near them, long and rare ones counting most. Upper and lower
#: case are the same up to a length of which the guest can hold a copy.
LOCATE = """\
import re
docs = [context] if isinstance(context, str) else context
small = sum(map(len, docs)) < 50000000
def fold(t):
    return "".join(c.lower() for c in chunks(t, 1000000)) if small else t
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
                if at:
                    spots[p], weight[p] = at, len(p) ** 2 / len(at)
    for p in sorted(weight, key=weight.get)[-8:]:
        for d, k in spots[p]:
            near = texts[d][max(0, k - 150):k + len(p) + 150]
            score = weight[p] + sum(weight[s] for s in weight if s in near)
            ranked.append((score, d, k, p))
    for _, d, k, p in sorted(ranked, reverse=True):
        if len(hits) < 12 and all(e != d or abs(k - l) > 60 for e, l, *_ in hits):
            t, end = docs[d], k + len(p)
            hits.append((d, k, t[max(0, k - 90):k], t[k:end], t[end:end + 110]))
    return [hit[2:] for hit in hits]
def show(n):
    for i, (before, key, after) in enumerate(hits[n:n + 3], n):
        print(i, repr(before), "[" + key + "]", repr(after))
hits = locate()
show(0)"""

#: How many passages `show` prints, and how many `locate` keeps.
SHOWN = 3
KEPT = 12


def more(start: int) -> str:
    """The cell that shows the next passages."""
    return f"show({start})"


def final(pattern: str, hit: int, side: str, index: int) -> str:
    """The cell that ends the run with a value out of passage `hit`.

    `side` is "before" or "after" the key; `index` counts the values there that
    the question does not name itself: 0 is the first after the key, -1 the last
    before it.
    """
    part = {"before": 0, "after": 2}[side]
    return (
        f'values = [v for v in re.findall(r"{pattern}", hits[{hit}][{part}]) '
        f"if v not in question]\nFINAL(values[{index}])"
    )


def turn(cell: str) -> str:
    """A whole turn of the model: the cell in its fence."""
    return f"```repl\n{cell}\n```"
