len(context), context[:10], context[-5:], context[1000:1010]
# %%
import re
len(re.findall(r"\bfox\b", context)), context.count("\n"), context.find("lazy"), context.rfind("dog")
# %%
hash(context) == hash(context[:]), context in {context: 1}, "fox jumps" in context, context == context + ""
# %%
lines = context.splitlines(); len(lines), lines[7], len(context.split()), context.split(" ", 2)[:2]
# %%
context.upper()[:9], context.replace("quick", "slow")[:20], context.partition("\n")[0]
# %%
[m.span() for m in re.finditer("lazy", context)][:3]
# %%
len(context.encode()), context.encode()[:9], context.isascii()
# %%
context[::-1][:10], context[5:60:7], sorted(set(context))[:8]
# %%
saved = context[4:9]; del context; saved
# %%
len(context)
# %%
f"{context[:3]!r:>12}", "%s" % context[:3], context[:3].center(9, "*")
# %%
context.startswith("the"), context.endswith("dog\n"), context.index("brown"), context.isspace()
