"""Labels that no text spells: sub-calls give them, and then they are a field like any other."""

from __future__ import annotations

#: Asks about the longest text of each row which of the question's labels fits best, and makes
#: the reply a field; the table program goes on from there. Names are left out of the text: a
#: small model takes those that it has never seen for a sign of some label. What then stands
#: in several rows is asked about once.
LABEL = r"""body = max(head, key=lambda c: sum(len(r[c]) for r in sample))
named = [c for c in named if c != body]
menu = "; ".join(labels)
some = [dict(r) for r in rows() if all(r[c] in asked[c] for c in asked)]
plain = [re.sub(r"(?<=\w )[A-Z]\w+", "it", r[body]) for r in some]
prompts = [f"Which fits? {menu}\n{p}" for p in plain]
distinct = [*dict.fromkeys(prompts)]
known = dict(zip(distinct, llm_query_batched(distinct, choices=labels)))
replies = [known[p] for p in prompts]
for r, reply in zip(some, replies):
    r["label"] = reply
rest = question.replace(items[0], "")
wanted = {p for p in labels if re.search(rf"\b{p}\b", rest)}
rows, head = lambda: some, [*head, "label"]
kinds["label"] = "text"
if wanted:
    asked["label"] = wanted
elif not [c for c in named if kinds[c] == "text" and c not in asked]:
    named.append("label")
print("labelled", len(replies), "wanted", len(wanted))"""
