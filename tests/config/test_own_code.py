"""Which code of the user's a config names."""

from dataclasses import asdict

from gsnr_sweep.config.own_code import own_code
from tests.conftest import tiny_config


def test_what_is_in_the_package_is_nobodys_own() -> None:
    assert own_code(asdict(tiny_config("preset.figures=[lhs_rhs]"))) == []
    assert own_code(asdict(tiny_config("data=toy", "model=mlp"))) == []
    assert own_code({}) == []


def test_all_that_is_the_users_is_named_by_its_key() -> None:
    own = [
        *("data._target_=a.Data", "model._target_=a.Net"),
        *("preset.figures=[a.figure]", "preset.claims=[a.claim]"),
        "measures.functions.mine=a.measure",
    ]
    given = [f"+{key}" if key.startswith("measures") else key for key in own]
    found = own_code(asdict(tiny_config("data=custom", "model=custom", *given)))
    assert found == [key.replace("[", "").replace("]", "") for key in own]


def test_a_users_optimizer_and_schedule() -> None:
    own = ["optim._target_=a.Optimizer", "optim.schedule=a.schedule"]
    assert own_code(asdict(tiny_config("optim=custom", *own))) == own
    pytorchs = [
        "optim._target_=torch.optim.Rprop",
        "optim.schedule=torch.optim.lr_scheduler.StepLR",
    ]
    assert own_code(asdict(tiny_config("optim=custom", *pytorchs))) == []
    assert own_code(asdict(tiny_config("optim=sgd", "optim.schedule=cosine"))) == []
