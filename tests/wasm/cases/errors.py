1 / 0
# %%
{}["missing"]
# %%
[][1]
# %%
int("x")
# %%
undefined_name
# %%
"a" + 1
# %%
raise SystemExit(3)
# %%
import sys
sys.exit("bye")
# %%
raise KeyboardInterrupt
# %%
def deep(n):
    return deep(n - 1) if n else 1 / 0
deep(50)
# %%
try:
    {}["inner"]
except KeyError:
    raise ValueError("outer")
# %%
raise ValueError("outer") from KeyError("inner")
# %%
x = 1
x +
# %%
    indented = 1
# %%
"unterminated
# %%
class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")
raise Odd
# %%
raise ExceptionGroup("several", [ValueError("a"), TypeError("b")])
# %%
print("before"); 1 / 0; print("after")
# %%
kept = 1; 1 / 0
# %%
kept
# %%
class Base(BaseException): pass
raise Base("not an Exception")
# %%
import json
json.loads("{")
# %%
raise ValueError("long " * 10000)
# %%
assert kept == 2, "kept is not 2"
# %%
def f(): return f()
f()
# %%
class R:
    def __repr__(self): raise ValueError("in repr")
R()
# %%
open("/etc/passwd.missing")
# %%
import os
os.environ["HOME_THAT_IS_NOT_SET"]
# %%
input()
