import dataclasses, re
@dataclasses.dataclass
class Row:
    name: str
    size: int = 0
rows = [Row("a", 1), Row("b")]
# %%
rows, Row.__module__, __name__
# %%
def total(rows):
    return sum(row.size for row in rows)
total(rows)
# %%
def outer():
    count = 0
    def inner():
        nonlocal count
        count += 1
        return count
    return inner
step = outer()
step(), step()
# %%
step()
# %%
gen = (i * i for i in range(5))
next(gen), next(gen)
# %%
list(gen)
# %%
context = "gone"; question = None; FINAL = 1; del grep
# %%
len(context), question, callable(FINAL), callable(grep)
# %%
SHOW_VARS()
# %%
del rows
rows
# %%
from math import *
pi
# %%
import pickle
pickle.loads(pickle.dumps(Row("c", 2)))
# %%
[context[i] for i in range(3)]
# %%
[x for x in (1, 2) if (lambda: x in rows2)()] if (rows2 := [1]) else 0
# %%
context_names
# %%
_hidden = 1; SHOW_VARS().get("_hidden")
