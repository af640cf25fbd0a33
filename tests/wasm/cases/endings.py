answer
# %%
answer["content"] = "so far"
# %%
answer["content"] += " and on"; print(1)
# %%
x = 1
# %%
FINAL_VAR("missing")
# %%
try:
    FINAL_VAR("missing")
except NameError as error:
    print(error)
# %%
FINAL()
# %%
print("before")
FINAL({"a": [1, 2]})
print("after")
# %%
FINAL("a second one")
# %%
1 + 1
