"""GGUF models through llama.cpp, in a supervised worker process.

`LlamaModel` is the model. `inspect`, `plan` and `verify` look at a file without
or before using it. The files below it, from the parent's side to the worker's:

    model      LlamaModel: calls, deadlines
    succession the worker, and the one that takes its place; process: it as a child process
    protocol   what passes between the two
    worker     the child: commands in, completions out
    listener   its ear: what it hears while it computes, and which calls are due; watch: whether
               it still comes back from llama.cpp
    intake     requests to jobs
    jobs       requests on their way; waiting: who goes next
    scheduler  which tokens are computed next; batch: how many of whose; places: how many
               sequences at a time
    cache      sequences of tokens, and what is kept of them
    cells      how many cells of the KV cache are in use
    states     cells outside of it: swapped dialogues, stored system prompts
    identity   which model and engine a stored state belongs to
    chat       messages to tokens; timer: in bounded time
    stream     tokens to text
    sampling   logits to a token; forms: to one that a grammar takes
    choices    the likeliest of several replies
    engine     what the scheduler needs of the native side
    native     llama.cpp's C API; bindings: its library, loaded before numpy
    modelfile  what a usable file holds
    memory     how much memory it will take; offload: which layers go to a GPU
    devices    the GPUs there are; probe: the process that asks llama.cpp for them
    threads    how many threads it gets; spinning: how they wait for each other
    adapters   what a LoRA adapter for it holds
    gguf       the file format's header
"""

from rlm_local.llama.devices import Device
from rlm_local.llama.devices import find as find_gpus
from rlm_local.llama.memory import MemoryPlan, plan
from rlm_local.llama.model import LlamaModel
from rlm_local.llama.modelfile import ModelFile, Special, inspect
from rlm_local.llama.verification import verify

__all__ = [
    "Device",
    "LlamaModel",
    "MemoryPlan",
    "ModelFile",
    "Special",
    "find_gpus",
    "inspect",
    "plan",
    "verify",
]
