import re
found = re.search(r"(qu\w+) (br\w+)", context)
found
# %%
FINAL(found)
