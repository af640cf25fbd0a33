"""A passage read by a sub-call, for values whose form says nothing."""

from __future__ import annotations

#: What could be an answer: a full name, a day, a number, a place.
SPAN = r"[A-Z][a-z]+ [A-Z][a-z]+|\d{4}-\d\d-\d\d|\d+|[A-Z][a-z]{2,}"

#: Follows `programs.LOCATE`: marks what could be the answer in the passage, of the best ones, that
#: tells the most names and days, each by what it looks like and a number, and asks which it is, so
#: that nothing need be spelled.
READ = rf"""good = [h for h in hits if h[0] >= hits[0][0] * 0.5]
passages = [b.split("\n\n")[-1] + key + a.split("\n\n")[0] for _, b, key, a in good]
told = r"[A-Z][a-z]+ [A-Z][a-z]+|\d{{4}}-\d\d-\d\d"
text = max(passages, key=lambda t: len(re.findall(told, t)))
SPAN = r"{SPAN}"
spans = {{}}
def mark(m):
    if m[0] in question:
        return m[0]
    kind = "name" if " " in m[0] else "day" if "-" in m[0] else "word"
    kind = "number" if m[0].isdigit() else kind
    n = sum(k.startswith(kind) for k in spans) + 1
    spans[f"{{kind}} {{n}}"] = m[0]
    return f"{{m[0]}} ({{kind}} {{n}})"
marked = re.sub(SPAN, mark, text)
reply = llm_query(f"{{marked}}\n{{question}}\nWhich one?", choices=spans)
print(reply, "of", len(spans))"""

#: Ends the run with what the sub-call has chosen.
CHOSEN = "FINAL(spans[reply])"
