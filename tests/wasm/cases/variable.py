result = "the " + "answer"
# %%
FINAL_VAR(" 'result' ")
