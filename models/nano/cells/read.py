"""A passage read by a sub-call, for values whose form says nothing."""

from __future__ import annotations

#: What could be an answer: a full name, a day, a number, a place.
SPAN = r"[A-Z][a-z]+ [A-Z][a-z]+|\d{4}-\d\d-\d\d|\d+|[A-Z][a-z]{2,}"

#: Follows `programs.LOCATE`: numbers what could be the answer in the best passage, and asks
#: which number it is, so that nothing need be spelled.
READ = rf"""_, before, key, after = hits[0]
text = before.split("\n\n")[-1] + key + after.split("\n\n")[0]
SPAN = r"{SPAN}"
spans = []
def mark(m):
    if m[0] in question:
        return m[0]
    spans.append(m[0])
    return f"[{{len(spans)}}] {{m[0]}}"
marked = re.sub(SPAN, mark, text)
reply = llm_query(f"{{marked}}\n{{question}}\nWhich number?")
print(reply, "of", len(spans))"""

#: Ends the run with what the sub-call has chosen.
CHOSEN = "FINAL(spans[int(reply) - 1])"
