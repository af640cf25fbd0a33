"""The first cell of every run: what form `context` has, and what of it the question names.

The cells of this folder are programs, constant but for the last of a run. None spells a key, a
column or a label: those are cut out of `question` and of the data. The model chooses a program
by its first line, and in the end one of a few calls. Each cell uses the names that the cells
before it have made.
"""

from __future__ import annotations

#: Guesses how the text is divided (records with named fields, or lines), then which fields,
#: values of fields, dates and labels the question names. It prints kinds and counts, no names:
#: a name that the training never had would mislead a small model.
PROFILE = r"""import json, re
from collections import Counter
from itertools import islice
docs = [context] if isinstance(context, str) else context
def fold(t):
    return re.sub(r"[\W_]+", " ", t.lower()).strip()
def units(end, texts=docs):
    for t in texts:
        k = 0
        while k < len(t):
            stop = t.find(end, k + 50000) + len(end)
            stop = stop if stop >= len(end) else len(t)
            yield from filter(str.strip, t[k:stop].split(end))
            k = stop
def parts(u):
    return [p.strip(' "') for p in u.strip("| \n").split(sep)]
def cut(u):
    if sep == "{":
        row = json.loads(u) if u[:2] == '{"' and u[-1] == "}" else {}
        return {c: str(v) for c, v in row.items()}
    if eq:
        pairs = (p.split(eq, 1) if eq in p else (f"_{n}", p) for n, p in enumerate(parts(u)) if p)
        return {c.strip(' "'): v.strip(' "') for c, v in pairs}
    row = parts(u)
    return dict(zip(head, row)) if len(row) == len(head) else {}
def rows():
    for u in units(end):
        row = cut(u)
        if [*row] == [*head] and row != first and "---" not in u:
            yield row
tops = [t[:20000] for t in docs[:50]]
best, first = (0, "\n", "\n", "", ["text"]), {}
for end, sep in [*(("\n", s) for s in "{|;,\t "), ("\n\n", "\n")]:
    for eq in ("=>", "=", ":", "")[:3 if sep in " \n" else 4]:
        some = list(islice(units(end, tops), 50))
        sizes = Counter(len(parts(u)) for u in some).most_common(1) or [(0, 0)]
        head = [f"_{n}" for n in range(sizes[0][0])]
        names, n = (Counter(tuple(cut(u)) for u in some).most_common(1) or [((), 0)])[0]
        told = [c for c in names if c[:1] != "_"]
        fair = 1 < len(names) < 40 and len(some) * 0.6 < n > 1 and (not eq or len(told) > 1)
        if fair and all(re.fullmatch(r"\w[\w -]{0,30}", c) for c in names):
            best = max(best, (n * (3 * len(told) or len(names)), end, sep, eq, names))
score, end, sep, eq, head = best
if score and not eq and sep != "{":
    head = next(p for p in map(parts, units(end)) if len(p) == len(head))
    first = dict(zip(head, head))
sample = list(islice(rows(), 200 * bool(score)))
def kind(c):
    seen = [r[c] for r in sample]
    if seen and all(re.fullmatch(r"\d{4}\W\d\d(\W\d\d)?", v) for v in seen):
        return "date"
    plain = seen and all(re.fullmatch(r"-?\d+(\.\d+)?", v) for v in seen)
    return "number" if plain and len(set(seen)) * 2 > len(seen) else "text"
kinds = {c: kind(c) for c in head}
q = fold(question)
plural = r"\b(%s(s|es)?|%sies)\b"
named = [c for c in filter(fold, head) if re.search(plural % (fold(c), fold(c)[:-1]), q)]
dates = re.findall(r"\d{4}-\d\d(?:-\d\d)?", question)
items = re.search(r"[:(] *(\w[\w -]*(?:, [\w -]+)+)", question)
labels = re.split(r", (?:or |and )?| or | and ", items[1]) if items else []
def around(t, k):
    low, high = max(0, k - 5000), k + 5000
    a, b = t.rfind(end, low, k) + len(end), t.find(end, k, high)
    return t[a if a >= len(end) else low:b if b >= 0 else high]
asked, words = {}, [m.span() for m in re.finditer(r"\w(?:[\w.'@/-]*\w)?", question)]
for i, (a, _) in enumerate(words if score else ()):
    for p in [question[a:b] for _, b in words[i:i + 4]]:
        for t in docs:
            k, n = t.find(p), 0
            while k >= 0 and n < 30:
                row = cut(around(t, k))
                for c in row if [*row] == [*head] and row != first else ():
                    if row[c] == p and kinds[c] == "text":
                        asked.setdefault(c, set()).add(p)
                k, n = t.find(p, k + 1), n + 1
print("table" if score else "text", *sorted(kinds.values()))
print("named", *sorted(kinds[c] for c in named))
print("values", *sorted(len(v) for v in asked.values()))
print("dates", len(dates), "labels", len(labels), "documents", min(len(docs), 2))"""
