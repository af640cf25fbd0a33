"""What a training run does: its plan, and the recipes for a CPU and for a GPU."""

from __future__ import annotations

from dataclasses import dataclass

from models.nano.network import Shape


@dataclass(frozen=True)
class Plan:
    """All that decides what a run does. Rates are peaks; they rise, stay and fall to 0."""

    seed: int = 1
    steps: int = 5_000
    rows: int = 16  # root dialogues in a step
    workers: int = 40  # sub-calls in a step
    muon_rate: float = 0.01
    adam_rate: float = 0.003
    decay: float = 0.05
    warm: int = 40
    fall: float = 0.4  # the last part of the run, in which rates fall
    short: float = 0.6  # the share of steps whose cells are shortened,
    whole: float = 0.35  # but in the last part of the run none are
    garbled: float = 0.05  # the share of dialogues asked nonsense, in steps with whole cells
    noisy: float = 0.3  # the share with noise in the question,
    noise: float = 0.05  # and how much
    workers_part: float = 0.5  # what sub-calls count beside root dialogues
    skipped: tuple[str, ...] = ("workers spell",)  # samples left out: copying is too hard for it
    parts: int = 2  # batches, of rows of like length, that each process makes of its share
    multiple: int = 1  # of which each batch's length is one


#: For one GPU: a larger network that sees more, and learns to copy as well. It draws each task
#: more often, so that more of the questions is noise. Few and large batches, of few lengths: what
#: takes the time is telling the GPU what to do, and finding memory for sizes that it has not met.
GPU_PLAN = Plan(
    steps=2_500,
    rows=128,
    workers=256,
    warm=200,
    noisy=0.4,
    noise=0.08,
    skipped=(),
    parts=1,
    multiple=64,
)
GPU_SHAPE = Shape(width=256, layers=8, heads=8, hidden=704)
RECIPES = {"cpu": (Plan(), Shape()), "gpu": (GPU_PLAN, GPU_SHAPE)}
