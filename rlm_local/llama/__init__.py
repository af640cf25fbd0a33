"""GGUF models through llama.cpp, in a supervised worker process.

`LlamaModel` is the model. `inspect`, `plan` and `verify` look at a file without
or before using it. The files below it, from the parent's side to the worker's:

    model      LlamaModel: calls, deadlines, restarts
    process    the worker as a child process
    protocol   what passes between the two
    worker     the child: commands in, completions out
    scheduler  which tokens are computed next
    cache      sequences of tokens, and what is kept of them
    cells      how many cells of the KV cache are in use
    chat       messages to tokens
    stream     tokens to text
    sampling   logits to a token
    engine     what the scheduler needs of the native side
    native     llama.cpp's C API
    modelfile  what a usable file holds
    memory     how much memory it will take
    threads    how many threads it gets
    gguf       the file format's header
"""

from rlm_local.llama.memory import MemoryPlan, plan
from rlm_local.llama.model import LlamaModel
from rlm_local.llama.modelfile import ModelFile, Special, inspect
from rlm_local.llama.verification import verify

__all__ = ["LlamaModel", "MemoryPlan", "ModelFile", "Special", "inspect", "plan", "verify"]
