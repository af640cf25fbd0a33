"""Measurements, each beside what it is compared with: `python -m bench.NAME`."""

import os

# Before llama.cpp is loaded: else its threads burn a core while they wait for each other.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
