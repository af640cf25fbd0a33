"""Measurements, each beside what it is compared with: `python -m bench.NAME`."""

import os

from rlm_local.llama import spinning

os.environ.update(spinning.variables())  # before llama.cpp is loaded, here or by what is compared
