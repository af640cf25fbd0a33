answer["ready"] = True
1 / 0
# %%
answer["content"] = 42
answer["ready"] = False
# %%
answer["ready"] = True
# %%
print("still here")
