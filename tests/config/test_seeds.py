"""Initial weights and data drawn anew apart."""

import pytest

from gsnr_sweep.config.identity import run_identity
from gsnr_sweep.config.validation import problems
from tests.conftest import typed_config

SEED = ("seed=3",)


def test_each_stands_in_for_the_seed() -> None:
    plain = typed_config(*SEED)
    weights = typed_config(*SEED, "seed_weights=8")
    data = typed_config(*SEED, "seed_data=9")
    assert (plain.weights_seed, plain.sampling.seed) == (3, 3)
    assert (weights.weights_seed, weights.sampling.seed) == (8, 3)
    assert (data.weights_seed, data.sampling.seed) == (3, 9)


def test_mini_batches_follow_the_seed() -> None:
    cfg = typed_config(*SEED, "optim=sgd", "seed_weights=8", "seed_data=9")
    assert cfg.rule is not None
    assert cfg.rule.seed == 3


def test_runs_without_them_keep_their_identity() -> None:
    plain = run_identity(typed_config(*SEED))
    assert plain == run_identity(typed_config(*SEED, "seed_weights=null", "seed_data=null"))
    others = {
        run_identity(typed_config(*SEED, f"{key}=4")) for key in ("seed_weights", "seed_data")
    }
    assert len(others | {plain}) == 3


@pytest.mark.parametrize("key", ["seed", "seed_weights", "seed_data"])
def test_out_of_range(key: str) -> None:
    (problem,) = problems(typed_config(f"{key}=-1"))
    assert problem == f"{key}=-1: the seed must be a whole number from 0 to 2**63 - 1."
