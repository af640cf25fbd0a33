"""Muon: momentum whose update is made orthogonal, for the weight matrices of the blocks.

K. Jordan and others, 2024: each matrix's step is replaced by (about) the nearest
orthogonal one, by five steps of a Newton-Schulz iteration. Embedding and norms are
left to AdamW.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315  # coefficients of the published quintic


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """About the nearest (semi-)orthogonal matrix: singular values go to 0.7 to 1.2.

    `matrices`: (..., rows, columns), each by itself.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """`momentum` is Nesterov's. `decay` shrinks weights by `lr * decay` a step."""

    def __init__(
        self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.0
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for weights in alike.values():
                self._move(weights, group)

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Move weights of one shape, at once: a GPU would wait for each of many small products."""
        updates = []
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["moment"] = torch.zeros_like(weight)
            moment = state["moment"].mul_(group["momentum"]).add_(weight.grad)
            updates.append(weight.grad.add(moment, alpha=group["momentum"]))
        rows, columns = weights[0].shape
        scale = max(1.0, rows / columns) ** 0.5
        for weight, update in zip(weights, orthogonal(torch.stack(updates)), strict=True):
            weight.mul_(1 - group["lr"] * group["decay"])
            weight.add_(update, alpha=-group["lr"] * scale)
