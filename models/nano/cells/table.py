"""Counting and aggregating over the fields of records, for the families of tables and labels."""

from __future__ import annotations

#: Makes `table` of the rows that have the values that the question names: each row's group,
#: number, date, and which of several asked values it has. What follows is `only`, if a part of
#: it is asked for, and one call that computes.
TABLE = r"""from itertools import combinations, product
many = [c for c in asked if len(asked[c]) > 1]
free = [c for c in named if kinds[c] == "text" and c not in asked]
by = (free + many + [""])[0]
num = ([c for c in named if kinds[c] == "number"] + [None])[0]
day = ([c for c in head if kinds[c] == "date"] + [""])[0]
side = (many + [""])[0]
table = []
for r in rows():
    if all(r[c] in asked[c] for c in asked):
        table.append((r.get(by), float(r.get(num, 0)), r.get(day), r.get(side)))
def only(how):
    found = re.findall(r"(?<![\w-])\d+(?:\.\d+)?(?![\w-])", question)
    x = next((float(v) for v in found if not any(v in s for s in asked.values())), 0)
    table[:] = filter({
        "after": lambda r: r[2] > dates[0] + "~",
        "before": lambda r: r[2] < dates[0],
        "within": lambda r: dates[0] <= r[2] <= dates[-1] + "~",
        "over": lambda r: r[1] > x,
        "under": lambda r: r[1] < x,
    }[how], table)
def number(x):
    return int(x) if x == int(x) else round(x, 2)
def total():
    return number(sum(r[1] for r in table))
def mean():
    return number(sum(r[1] for r in table) / len(table))
def groups(how):
    n, s = Counter(), Counter()
    for g, x, *_ in table:
        n[g] += 1
        s[g] += x
    return {"count": n, "total": s, "mean": {g: s[g] / n[g] for g in n}}[how]
def rank(how):
    return sorted(groups(how), key=groups(how).get, reverse=True)
def gap():
    a, b = groups("count").values()
    return abs(a - b)
def top():
    return max(table, key=lambda r: r[1])
def low():
    return min(table, key=lambda r: r[1])
def both():
    return "\n".join(f"({a}, {b})" for a, b in combinations(sorted(groups("count")), 2))
def cross():
    a, b = [{r[0] for r in table if r[3] == v} for v in sorted(asked[side])]
    found = {tuple(sorted(p)) for p in product(a, b) if p[0] != p[1]}
    return "\n".join(f"({x}, {y})" for x, y in sorted(found))
print("rows", len(table), "groups", len(groups("count")))"""
