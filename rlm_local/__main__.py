"""`python -m rlm_local` is the command `rlm-local`."""

from rlm_local.cli import main

if __name__ == "__main__":
    main()
