1 + 1
# %%
x = 3
# %%
x
# %%
None
# %%
print("written"); x * 2
# %%
"text with 'quotes' and \n and é and 🙂"
# %%
b"bytes \x00"
# %%
[1, "two", (3,), {4: [5]}, {6}, None, True, 1.5]
# %%
(), [], {}, set(), frozenset(), "", b""
# %%
import collections
collections.Counter("abracadabra"), collections.deque([1, 2]), collections.deque([1], maxlen=3)
# %%
{"a": 1}.keys(), {"a": 1}.values(), {"a": 1}.items()
# %%
for i in range(3):
    i
# %%
def f(): return 1
f()
# %%
if x:
    y = 1
# %%
# only a comment
# %%
cyclic = [1]; cyclic.append(cyclic); cyclic
# %%
[i for i in range(100000)]
# %%
"long " * 100000
# %%
{i: "v" * 1000 for i in range(100)}
# %%
range(10), slice(1), ..., int
# %%
"trailing semicolon";
