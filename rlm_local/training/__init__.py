"""Training samples from run records.

`dialogues` tells from a run's events what the model saw and said, `filter` drops what is not
worth learning and repairs mistakes of form, `samples` makes one sample of each turn.
"""
