llm_query("hello")
# %%
llm_query(prompt="named")
# %%
llm_query_batched(["a", "b"]), llm_query_batched(p for p in ("c",))
# %%
llm_query_batched("one text")
# %%
llm_query(3)
# %%
llm_query("a", "b")
# %%
llm_query()
# %%
llm_query("x", model="other")
# %%
llm_query.__name__, llm_query_batched.__name__
# %%
llm_query("raise ValueError")
# %%
llm_query("raise NoSuchType")
# %%
llm_query("raise UnicodeDecodeError")
# %%
try:
    llm_query("raise KeyError")
except KeyError as error:
    print("caught", error)
# %%
llm_query_batched([object()])
# %%
llm_query_batched([float("nan")])
# %%
llm_query("é 🙂 " * 3)
# %%
llm_query("\ud800 alone")
# %%
list(map(llm_query, ["1", "2"]))
