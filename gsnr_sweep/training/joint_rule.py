"""One step for several replicas, by one optimizer over the weights of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain

from torch import Tensor
from torch.optim import Optimizer

from gsnr_sweep.training.rules import Rule, gradients_of

Gradients = Callable[[Sequence[Tensor]], Sequence[Sequence[Tensor]]]
"""From the places of each replica's next mini-batch to its gradient, one tensor a parameter."""


class JointRule:
    """Replicas whose gradients are computed together.

    Where an optimizer moves each weight by itself, one steps for all: its call costs more than the
    arithmetic of a small network. What it remembers of a weight is the weight's own rule's memory.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Let these rules, which have the same settings, step together."""
        self._rules = rules
        self._weights = [weight for rule in rules for weight in rule.weights]
        joint = len(rules) > 1 and all(rule.moves_each_weight_by_itself for rule in rules)
        self._optimizer = rules[0].optimizer_of(self._weights) if joint else None

    def take(self, count: int, gradients: Gradients) -> None:
        """Take so many steps of each replica, each along the gradient of its next mini-batch."""
        optimizer = self._optimizer
        if optimizer is not None:
            optimizer.state = defaultdict(dict)
            for rule in self._rules:
                optimizer.state.update(rule.optimizer.state)
        for _ in range(count):
            found = gradients([rule.next_batch() for rule in self._rules])
            if optimizer is not None:
                self._step(optimizer, found)
                continue
            for rule, gradient in zip(self._rules, found, strict=True):
                rule.step_along(gradient)
        if optimizer is not None:
            for rule in self._rules:
                rule.optimizer.state.update({w: optimizer.state[w] for w in rule.weights})

    def _step(self, optimizer: Optimizer, gradients: Sequence[Sequence[Tensor]]) -> None:
        for rule in self._rules:
            rule.begin_step()
        [group], [scheduled] = optimizer.param_groups, self._rules[0].optimizer.param_groups
        group.update({name: scheduled[name] for name in scheduled if name != "params"})
        with gradients_of(self._weights, chain(*gradients)):
            optimizer.step()
        for rule in self._rules:
            rule.end_step()
