"""Muon: for matrices the orthogonal matrix nearest to the momentum, for all else Adam."""

from __future__ import annotations

import math
import re
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.config import argument, boolean, number, positive
from minigrad.kernels.norms import norm, scaled, with_square
from minigrad.ops import matmul
from minigrad.optimizers.adam import corrected_rate
from minigrad.optimizers.arguments import below_one, not_negative, not_negative_or_none, patterns, share
from minigrad.optimizers.formulas import lerp
from minigrad.optimizers.optimizer import Optimizer
from minigrad.variable import Variable


class Muon(Optimizer):
    r"""Muon (Jordan et al. 2024), with the scale of Liu et al. 2025.

    The momentum m <- mu m + g, by Nesterov G = g + mu m, is made nearly orthogonal by steps of Newton and Schulz:

    .. math:: X_0 = G / \|G\|, \quad A = X X^T, \quad X \leftarrow a X + (b A + c A A) X, \quad
              w \leftarrow w - \eta \, \rho \sqrt{\max(\text{rows}, \text{columns})} X

    A variable that is no matrix, one with "embedding" in its path (unless ``exclude_embeddings`` is off), and one in
    whose path a pattern of ``exclude_layers`` is found, follow `Adam` with ``adam_weight_decay`` and the learning rate
    times ``adam_lr_ratio``.
    """

    learning_rate: Any
    adam_beta_1: float = argument(below_one, 0.9)
    adam_beta_2: float = argument(below_one, 0.999)
    adam_weight_decay: float | None = argument(not_negative_or_none, 0.004)
    epsilon: float = argument(not_negative, 1e-7)
    weight_decay: float | None = argument(not_negative_or_none, 0.004)
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None
    exclude_layers: list[str] = argument(lambda name, value: list(patterns(name, value)), None)
    exclude_embeddings: bool = argument(boolean, True)
    muon_a: float = argument(number, 3.4445)
    muon_b: float = argument(number, -4.7750)
    muon_c: float = argument(number, 2.0315)
    adam_lr_ratio: float = argument(not_negative, 1)
    momentum: float = argument(share, 0.95)
    ns_steps: int = argument(positive, 5)
    nesterov: bool = argument(boolean, True)
    rms_rate: float | None = argument(not_negative_or_none, 0.2)

    def _should_use_adamw(self, variable: Variable) -> bool:
        return (
            variable.ndim != 2
            or (self.exclude_embeddings and "embedding" in variable.path.lower())
            or any(re.search(pattern, variable.path) for pattern in self.exclude_layers)
        )

    def _weight_decay_of(self, variable: Variable) -> float | None:
        return self.adam_weight_decay if self._should_use_adamw(variable) else self.weight_decay

    def slot(self, name: str, variable: Variable) -> Array | None:
        return super().slot(name, variable) if name == "momentum" or self._should_use_adamw(variable) else None

    def update_step(
        self, gradient: Array, variable: Array, learning_rate: float, momentum: Array, velocity: Array | None
    ) -> None:
        gradient, square = with_square(gradient)
        if velocity is not None:  # only variables that follow Adam have one
            lerp(momentum, gradient, 1 - self.adam_beta_1)
            lerp(velocity, square, 1 - self.adam_beta_2)
            alpha = corrected_rate(learning_rate, self.iterations + 1, self.adam_beta_1, self.adam_beta_2)
            root = array_module(variable).sqrt(velocity)
            variable -= alpha * self.adam_lr_ratio * momentum / (root + self.epsilon)
            return
        momentum *= self.momentum
        momentum += gradient
        direction = self._orthogonal(gradient + self.momentum * momentum if self.nesterov else momentum)
        scale = 1.0 if self.rms_rate is None else self.rms_rate * math.sqrt(max(variable.shape))
        variable -= learning_rate * scale * direction

    def _orthogonal(self, g: Array) -> Array:
        """U V^T of the singular value decomposition U S V^T, roughly: the singular values come near to 1."""
        x = scaled(g, 1 / (norm([g]) + 1e-7))
        x = x.T if g.shape[0] > g.shape[1] else x
        for _ in range(self.ns_steps):
            a = matmul(x, x.T)
            x = self.muon_a * x + matmul(self.muon_b * a + matmul(self.muon_c * a, a), x)
        return x.T if g.shape[0] > g.shape[1] else x
