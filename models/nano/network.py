"""The network: a small Llama, as llama.cpp's architecture "llama" computes it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. `width` is divided by `heads`; embeddings are tied."""

    vocabulary: int = 4_389  # a run takes that of its tokenizer
    width: int = 160
    layers: int = 4
    heads: int = 5
    hidden: int = 448
    window: int = 2_048
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q = nn.Linear(shape.width, shape.width, bias=False)
        self.k = nn.Linear(shape.width, shape.width, bias=False)
        self.v = nn.Linear(shape.width, shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        batch, length, width = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, length, self.heads, -1).transpose(1, 2)

        q, k = rotate(split(self.q(x)), rotation), rotate(split(self.k(x)), rotation)
        y = F.scaled_dot_product_attention(q, k, split(self.v(x)), is_causal=True)
        mixed: Tensor = self.out(y.transpose(1, 2).reshape(batch, length, width))
        return mixed


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.attention = Attention(shape)
        self.hidden_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotation)
        y = self.hidden_norm(x)
        mixed: Tensor = self.down(F.silu(self.gate(y)) * self.up(y))
        return x + mixed


class Network(nn.Module):
    """Token ids and their positions, both of shape (batch, length) → hidden states."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.apply(self._initialise)
        for block in self.blocks:
            for last in (block.attention.out, block.down):
                nn.init.zeros_(last.weight)
        steps = torch.arange(0, shape.head_width, 2) / shape.head_width
        angles = torch.arange(shape.window)[:, None] * shape.rope_base**-steps
        self.register_buffer(
            "rotations", torch.stack((angles.cos(), angles.sin())), persistent=False
        )

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.05)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        rotation = self.rotations[:, positions][:, :, None]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, rotation)
        hidden: Tensor = self.norm(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token, from hidden states of any leading shape."""
        return F.linear(hidden, self.embedding.weight)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotary positions over neighbouring pairs. `x`: (batch, heads, length, head_width)."""
    cosine, sine = rotation
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)
