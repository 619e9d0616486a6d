"""A small causal transformer in plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class CausalTransformer(nn.Module):
    """Tokens to scores of the next: pre-norm blocks, learned positions, tied embeddings."""

    def __init__(
        self, tokens: int, context: int, layers: int, width: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.context = context
        self.token = nn.Embedding(tokens, width)
        self.position = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                # The residual stream sums 2 × layers terms.
                shrink = math.sqrt(2 * layers) if name.endswith("out.weight") else 1.0
                nn.init.normal_(weight, std=0.02 / shrink)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores (n, t, tokens) of tokens int64 (n, t), t at most `context`."""
        states = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        states = self.dropout(states)
        for block in self.blocks:
            states = block(states)
        return functional.linear(self.norm(states), self.token.weight)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self._drop(self._attended(self.before_attention(states)))
        hidden = functional.gelu(self.mlp_in(self.before_mlp(states)))
        out: Tensor = states + self._drop(self.mlp_out(hidden))
        return out

    def _attended(self, states: Tensor) -> Tensor:
        n, t, width = states.shape
        parts = self.attention_in(states).reshape(n, t, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.attention_out(mixed.transpose(1, 2).reshape(n, t, width))
        return out

    def _drop(self, states: Tensor) -> Tensor:
        return functional.dropout(states, self.dropout, self.training)


def nucleus_draw(logits: Tensor, top_p: float, uniform: Tensor) -> Tensor:
    """Draw a token of each row from the fewest tokens that together have probability `top_p`."""
    shares, order = torch.sort(
        functional.softmax(logits.double(), dim=1), dim=1, descending=True, stable=True
    )
    cumulative = shares.cumsum(dim=1)
    # A token belongs to the nucleus when those before it do not reach top_p yet.
    shares = shares * (cumulative - shares < top_p)
    cumulative = shares.cumsum(dim=1)
    place = (cumulative <= uniform.double()[:, None] * cumulative[:, -1:]).sum(dim=1)
    place = place.clamp(max=logits.shape[1] - 1)
    return order.gather(1, place[:, None])[:, 0]
