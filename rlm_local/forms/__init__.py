"""What a reply may be bound to, for engines of both kinds.

`outgoing` makes sure of a request before it goes to one: its form becomes a grammar,
by `schema` from JSON Schema, and `gbnf` is what a grammar must be.
"""
