"""Following references from key to key, for the family of chains."""

from __future__ import annotations

#: Takes the rarest code or name of the question that the text has, and goes from line to line
#: (or sentence) by the keys in them, in the direction of the first step. A key looks like the
#: others of its chain (`XK-12` like `BD-40`); `path` is all of them in order, and `held` the
#: value beside the last. A question without a code has a chain of one key: its rarest phrase.
WALK = r"""CODE = r"\b[A-Z][a-z]+ [A-Z][a-z]+\b|\w+(?:[-_]\w+)+|\w*\d\w*|\b[A-Z]{3,}\b"
def lines(k):
    for t in docs:
        a = t.find(k)
        for _ in range(40 * (a >= 0)):
            b = a + len(k)
            if a >= 0 and not re.match(r"[\w-]", t[b:b + 1]) and not re.match(r"[\w-]", t[a - 1:a]):
                before = re.split(r"\n|[.!?] ", t[max(0, a - 300):a])[-1]
                yield before, re.split(r"\n|[.!?] |\.$", t[b:b + 300])[0]
            a = t.find(k, b) if a >= 0 else a
def often(k):
    return sum(1 for _ in lines(k))
def like(k):
    p = re.sub(r"[A-Z]", "A", re.sub(r"\d+", "0", re.sub(r"[a-z]+", "a", k)))
    p = re.escape(p).replace("A", "[A-Z]").replace("a", "[a-z]+").replace("0", r"\d+")
    return re.compile(rf"(?<![\w-]){p}(?![\w-])")
codes = re.findall(rf"(?=({CODE}))", question)
def rarest(keys):
    return min(filter(often, keys), key=lambda k: (often(k), -len(k)), default="")
words = [m.span() for m in re.finditer(r"\w(?:[\w-]*\w)?", question)]
key = rarest(codes)
starts = (question, question[:1].lower() + question[1:])
phrases = [q[a:b] for q in starts for n, (a, _) in enumerate(words) for _, b in words[n:n + 4]]
path = [key or rarest(phrases)]
if key.isdigit():
    near = [w for u in lines(key) for w in re.findall(CODE, " ".join(u)) if not w.isdigit()]
    key = min(near, key=often, default=key)
keys, way = like(key), None
while key:
    found = [(w, n) for u in lines(path[-1]) for n in (0, 1) for w in keys.findall(u[n])]
    found = [(w, n) for w, n in found if w not in path and way in (None, n)]
    key, way = found[0] if found else ("", way)
    path += [key] * bool(key)
def held():
    value = r"(?<![\w-])(?:[0-9a-f]{8}-[0-9a-f-]{27}|\d{4,}|[a-z]+-[a-z]+)(?![\w-])"
    found = [w for u in lines(path[-1]) for w in re.findall(value, " ".join(u))]
    return ([w for w in found if w not in path and not keys.fullmatch(w)] + [None])[0]
print("steps", len(path) - 1, "value", held() is not None)"""
