"""A part of the context, given to a child with the rest of the question."""

from __future__ import annotations

#: Finds the heading (or the document) that the question quotes, and has a child answer the
#: rest of the question about what stands under it.
PART = r"""mark = re.search(r"'([^'\n]+)'|\"([^\"\n]+)\"", question)
title = mark[1] or mark[2]
rest = re.split(r"[:.,] ", question[mark.end():], maxsplit=1)[-1].strip()
t = next(t for t in docs if title in t)
k = t.find(title)
a, b = t.rfind("\n", 0, k) + 1, t.find("\n", k)
before, after = t[a:k], t[k + len(title):b]
stop = t.find("\n" + before, b)
while stop >= 0 and not t[stop + 1:].split("\n", 1)[0].endswith(after):
    stop = t.find("\n" + before, stop + 1)
part = t[b:stop if stop >= 0 else len(t)].strip("\n")
reply = rlm_query(rest, part)
print("part of", len(part) < len(t), "reply", bool(reply))"""

#: Ends the run with the child's answer.
PASSED_ON = "FINAL(reply)"
