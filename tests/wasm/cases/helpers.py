grep("fox", around=4, limit=3)
# %%
[(p.start, p.end, p.name) for p in grep("fox", around=4, limit=2)]
# %%
grep("no such thing")
# %%
grep("QUICK", limit=1), len(grep("(?i)QUICK")), len(grep("dog", limit=1000))
# %%
import re
grep(re.compile("l.zy"), 0, 1)
# %%
c = chunks(context, 1000, 100)
len(c), [len(piece) for piece in c][-1], c[0] == context[:1000], c[1][:100] == c[0][-100:]
# %%
c[-1] == context[-len(c[-1]):], c[1:3] == [c[1], c[2]], "".join(chunks(context, 7)) == context
# %%
c
# %%
c[99]
# %%
chunks(context, 10, 10)
# %%
chunks([context], 10)
# %%
list(chunks("", 10)), list(chunks("abc", 10, 5)), list(chunks("abcdef", 3))
# %%
cite(4, 9)
# %%
cite(9, 4)
# %%
cite(0, 10**9)
# %%
cite(0, 5, "nowhere.txt")
# %%
FINAL(grep("fox", 0)[0])
