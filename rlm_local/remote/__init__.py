"""A model on a server of the user's own network, spoken to as OpenAI's API has it.

`model.RemoteModel` is the model, `is_url` says whether a name is meant for it. The files
below it, from the caller's side to the wire:

    model      RemoteModel: threads on one side, an event loop on the other
    address    what a URL says: which server, which of its models, how many calls at once
    calls      one `complete`: its requests side by side, until each has its end
    exchange   one request: what is posted, what comes back, what it has cost
    ledger     tokens of a batch, set aside before each request
    places     how many requests are under way, the deepest first
    retry      another attempt, later, while nothing has come
    server     what the server says of itself: its kind, its window, its tokenizer
    wire       a request as JSON, and the pieces of a reply
    reply      one reply as it grows, and where it ends
    shape      whether a reply keeps to its form
    refusals   what a server's refusal means
    events     server-sent events
    web        HTTP; the only importer of httpx
"""

from rlm_local.remote.address import RemoteAddress, is_url, look_up, parse_url

# The model itself is not imported here: whoever only reads URLs needs no httpx.
__all__ = ["RemoteAddress", "is_url", "look_up", "parse_url"]
