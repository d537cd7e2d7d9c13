"""Several replicas by one optimizer: the same bits as each by its own."""

import copy

import pytest
import torch
from torch import Tensor

from gsnr_sweep.training.joint_rule import JointRule
from gsnr_sweep.training.rules import Rule
from tests.training.test_rules import _config, _ensemble, _network

OVERRIDES = {
    "momentum": ("optim.args.momentum=0.9", "optim.schedule=cosine"),
    "adam": ("optim=adam", "optim.batch_size=4"),
    "clipped": ("optim.clip_norm=0.1",),
    "rmsprop": ("optim=rmsprop", "optim.batch_size=4"),
}


def _gradients(places: list[Tensor], rules: list[Rule]) -> list[list[Tensor]]:
    """Something that follows from mini-batch and weights."""
    return [
        [w.sin() + p.double().mean() for w in rule.weights]
        for p, rule in zip(places, rules, strict=True)
    ]


@pytest.mark.parametrize("name", OVERRIDES)
def test_replicas_step_as_each_by_its_own_optimizer(name: str) -> None:
    """Own steps in between, which are taken back, change nothing."""
    together, alone = (_ensemble(_config(*OVERRIDES[name]), _network("together")) for _ in "ab")
    joint = JointRule(together._rules)
    assert (joint._optimizer is not None) == (name in ("momentum", "adam"))
    for count in (1, 4, 3):
        joint.take(count, lambda places: _gradients(list(places), list(together._rules)))
        for rule in alone._rules:
            for _ in range(count):
                rule.step_along(_gradients([rule.next_batch()], [rule])[0])
        before = copy.deepcopy(together.state())
        with together._rules[0].excursion():
            together._rules[0].take(2)
        found, expected = together.state(), alone.state()
        assert found.keys() == expected.keys() == before.keys()
        for key, tensor in found.items():
            assert torch.equal(tensor, before[key]), key
            assert torch.equal(tensor, expected[key]), key
