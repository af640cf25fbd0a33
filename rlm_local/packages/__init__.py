"""Pure-Python packages that the user adds to the sandbox.

`wheel` reads a wheel and refuses what is damaged or would not run, `bytecode`
compiles it where this machine can, `store` keeps it in the data folder as an
`archive`, and `image` is the form in which a guest gets all of them, before its
snapshot is taken. `store` and `image` alone are imported by every start.
"""
