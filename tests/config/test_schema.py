"""What a config may hold, and what it says where it may not."""

import dataclasses
import math

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from gsnr_sweep.config.identity import config_hash, science_part
from gsnr_sweep.config.parse import from_omegaconf
from gsnr_sweep.config.schema import (
    DATA_SCHEMAS,
    Config,
    describe_keys,
    help_of,
    known_keys,
    memory_bytes,
    run_name,
)
from gsnr_sweep.config.validation import problems
from gsnr_sweep.config.wording import suggest
from gsnr_sweep.data.settings import CustomDataConfig, TorchvisionConfig, ToyConfig
from gsnr_sweep.errors import GsnrError
from tests.conftest import CONF, TINY, MakeConfig, expanded, tiny_config


def _composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def _changed(override: str) -> Config:
    """The tiny config with one value changed."""
    plain = OmegaConf.create(dataclasses.asdict(tiny_config()))
    return from_omegaconf(OmegaConf.merge(plain, OmegaConf.from_dotlist([override])))


def _told(cfg: DictConfig) -> str:
    with pytest.raises(GsnrError) as refusal:
        from_omegaconf(cfg)
    return str(refusal.value)


# --- names and types


def test_defaults_are_those_of_the_paper_at_desktop_scale() -> None:
    cfg = from_omegaconf(_composed())
    found = (cfg.n_sets, cfg.n_test, cfg.epochs, cfg.measure_at, cfg.lr, cfg.p_random)
    assert found == (10, 10_000, 100, [20, 100], 0.001, 0.0)
    assert (cfg.data.name, cfg.model.name, cfg.tracking.name) == ("digits", "table2_cnn", "mlflow")


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("n", "abc", "a whole number"),
        ("n", "1.5", "a whole number"),
        ("n", "true", "a whole number"),
        ("n", "null", "a whole number"),
        ("n", "", "a whole number"),
        ("lr", "fast", "a number"),
        ("p_random", "[0.1]", "a number"),
        ("data.noisy_test", "maybe", "true or false"),
        ("data.mean", "0.1", "a list of numbers"),
        ("threads", "two", "a whole number"),
        ("tf32", "maybe", "true or false"),
        ("chunk_size", "1.5", "a whole number"),
        ("model.args", "3", "a mapping"),
    ],
)
def test_a_wrong_type_is_named_with_key_value_and_what_is_needed(
    key: str, value: str, kind: str
) -> None:
    told = _told(_composed(f"{key}={value}"))
    assert told.startswith(key)
    assert kind in told
    assert help_of(key) in told
    assert "\n" not in told
    if value != "[20,b]":  # where only the wrong element is shown
        assert told.startswith(f"{key}={value}: ")


def test_a_missing_value_is_asked_for_with_its_meaning() -> None:
    told = _told(_composed("data=npz"))
    assert (
        told == "data.path has no value and needs one: the .npz file. Give it as data.path=VALUE."
    )
    assert "model._target_ has no value" in _told(_composed("model=custom"))
    assert "data._target_ has no value" in _told(_composed("data=custom"))


def test_an_unknown_key_that_slipped_in_is_refused_with_a_suggestion() -> None:
    told = _told(_composed("+chh=3"))
    assert told == "There is no key 'chh'. Did you mean ch?"
    assert "model.init" in _told(_composed("+model.inti=he"))


def test_an_unknown_data_set_lists_the_known_ones() -> None:
    told = _told(_composed("data.name=imagenet"))
    assert told.startswith("data.name=imagenet")
    assert all(name in told for name in DATA_SCHEMAS)


def test_an_interpolation_that_leads_nowhere_is_refused() -> None:
    cfg = _composed()
    cfg.n = "${nothing}"
    assert _told(cfg).startswith("n: Interpolation key 'nothing' not found")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("p_rand", "p_random"), ("measure_a", "measure_at"), ("epoch", "epochs"), ("eta", "data.eta")],
)
def test_suggestions(wrong: str, right: str) -> None:
    assert right in suggest(wrong, known_keys())


def test_nothing_is_suggested_for_a_name_like_no_other() -> None:
    assert "--help" in suggest("xyzzy", known_keys())


# --- ranges and combinations


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("n=1", ["n=1", "at least 2"]),
        ("n=-5", ["n=-5", "at least 2"]),
        ("ch=0", ["ch=0", "at least 1"]),
        ("n_sets=0", ["n_sets=0", "at least 1"]),
        ("n_test=1", ["n_test=1", "at least 2"]),
        ("epochs=-1", ["epochs=-1", "not be negative"]),
        ("measure_at=[]", ["measure_at=[]", "at least one epoch"]),
        ("measure_at=[1,3]", ["measure_at=[1, 3]", "[3]", "epochs=2"]),
        ("measure_at=[-1]", ["measure_at=[-1]", "0..epochs=2"]),
        ("measure_at=[1,1]", ["measure_at=[1, 1]", "twice"]),
        ("measure_at=[1,b]", ["measure_at=[1, b]", "'b' is no epoch", "every:K", "log:K"]),
        ("measure_at=[1.5]", ["measure_at=[1.5]", "1.5 is no epoch"]),
        ("measure_at=[true]", ["measure_at=[true]", "True is no epoch"]),
        ("measure_at=[every:2]", ["'every:2' is no epoch"]),
        ("measure_at=2", ["measure_at=2:", "a list of epochs such as [20,100]", "log:K"]),
        ("measure_at=null", ["measure_at=null:", "a list of epochs"]),
        ("measure_at=every:0", ["measure_at=every:0:", "K at least 1"]),
        ("measure_at=log:many", ["measure_at=log:many:", "K at least 1"]),
        ("p_random=1.01", ["p_random=1.01", "[0, 1]"]),
        ("p_random=-0.1", ["p_random=-0.1", "[0, 1]"]),
        ("p_random=nan", ["p_random=nan", "[0, 1]"]),
        ("lr=0", ["lr=0.0", "positive, finite"]),
        ("lr=inf", ["lr=inf", "positive, finite"]),
        ("lr=nan", ["lr=nan", "positive, finite"]),
        ("seed=-1", ["seed=-1", "2**63 - 1"]),
        ("chunk_size=0", ["chunk_size=0", "null"]),
        ("threads=0", ["threads=0", "null"]),
        ("memory_limit=2", ["memory_limit=2", "1GB"]),
        ("memory_limit=0GB", ["memory_limit=0GB", "1GB"]),
        ("dtype=float16", ["dtype=float16", "float32, float64"]),
        ("device=tpu", ["device=tpu", "cuda:K"]),
        ("model.init=xavier", ["model.init=xavier", "torch, he"]),
        ("measures.variance=both", ["measures.variance=both", "plugin, unbiased"]),
        ("data.label_noise=some", ["data.label_noise=some", "uniform, different"]),
        ("data.elastic=-1", ["data.elastic=-1.0", "not be negative"]),
        ("data.scale=1", ["data.scale=1.0", "below 1"]),
        ("data.std=[0]", ["data.std=[0.0]", "positive"]),
        ("data.mean=[1,2]", ["data.mean=[1.0, 2.0]", "one number a channel (1)"]),
    ],
)
def test_a_value_out_of_range_is_one_problem_with_key_and_value(
    override: str, words: list[str]
) -> None:
    (problem,) = problems(_changed(override))
    assert all(word in problem for word in words)
    assert "\n" not in problem


@pytest.mark.parametrize(
    "override",
    [
        "n=2",
        "p_random=0",
        "p_random=1",
        "measure_at=[0,1,2]",
        "seed=9223372036854775807",
        "memory_limit=0.5GiB",
        "memory_limit=800MB",
        "device=cuda:3",
        "threads=1",
        "dtype=float64",
        "model.init=he",
    ],
)
def test_values_at_the_edge_of_what_is_allowed(override: str) -> None:
    assert problems(_changed(override)) == []


def test_all_problems_are_found_at_once() -> None:
    found = problems(tiny_config("n=0", "lr=-1", "dtype=int8", "p_random=2"))
    assert [problem.partition("=")[0] for problem in found] == ["n", "p_random", "lr", "dtype"]


def test_the_toy_regression_has_no_labels_to_randomize() -> None:
    (problem,) = problems(tiny_config("data=toy", "p_random=0.5"))
    assert "data.eta" in problem
    (problem,) = problems(tiny_config("data=toy", "data.eta=-1"))
    assert problem.startswith("data.eta=-1")


def test_layout_of_a_users_arrays() -> None:
    (problem,) = problems(tiny_config("data=npz", "data.path=x.npz", "data.layout=whc"))
    assert "auto, hwc, chw" in problem


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 10**9), ("1GiB", 2**30), ("1.5 MB", 1_500_000), (".5KiB", 512), (" 2KB ", 2000)],
)
def test_memory_sizes(text: str, size: int) -> None:
    assert memory_bytes(text) == size


# --- names and hashes


def test_a_run_is_named_after_its_grid_point(make_config: MakeConfig) -> None:
    assert run_name(make_config("n=1000", "ch=6")) == "n=1000 ch=6 p=0.0"
    assert run_name(make_config("data=toy", "data.eta=2")) == "n=30 ch=6 p=0.0 eta=2"
    assert run_name(make_config("tracking.run_name=mine")) == "mine"
    assert run_name(make_config("data.confusion=7")) == "n=30 ch=6 p=0.0 confusion=7"
    assert run_name(make_config("random_labels=true")) == "n=30 ch=6 p=1.0"


# --- random labels and confusion sets


def test_random_labels_are_written_out_as_p_random() -> None:
    for overrides in (["random_labels=true"], ["random_labels=true", "p_random=1"]):
        cfg = tiny_config(*overrides)
        assert (cfg.p_random, cfg.sampling.p_random, cfg.random_labels) == (1.0, 1.0, True)
        assert problems(cfg) == []
        again = from_omegaconf(OmegaConf.create(dataclasses.asdict(cfg)))
        assert again == cfg
    assert tiny_config("random_labels=false", "p_random=0.3").p_random == 0.3
    assert tiny_config("random_labels=false", "p_random=1").p_random == 1


def test_random_labels_beside_a_share_of_them_are_refused() -> None:
    assert problems(tiny_config("random_labels=true", "p_random=0.3")) == [
        "random_labels=true with p_random=0.3: the first replaces all labels, the second a share "
        "of them. Leave one of them out."
    ]
    (toy,) = problems(tiny_config("random_labels=true", "data=toy"))
    assert toy.startswith("random_labels=true: data=toy is a regression")
    assert toy.endswith("Leave random_labels out.")


def test_random_labels_can_be_swept() -> None:
    grid = expanded("-m", *TINY, "random_labels=false,true")
    assert grid.axes == {"random_labels": ["False", "True"]}
    assert [point.cfg.p_random for point in grid.points if point.cfg] == [0.0, 1.0]


def test_sizes_that_count_the_confusion_set() -> None:
    cfg = tiny_config(
        "data.confusion=12", "optim=sgd", "optim.batch_size=21", "measure_at=[step:1]"
    )
    assert (cfg.n, cfg.train_size, cfg.training.n, cfg.engine.n) == (30, 42, 42, 42)
    assert cfg.training.steps_an_epoch == 2
    assert cfg.measured_epochs == [0.5]
    assert cfg.sampling.n == 30
    assert problems(tiny_config("data.confusion=12", "optim=sgd", "optim.batch_size=43")) == [
        "optim.batch_size=43: a mini-batch has 1 to n + data.confusion = 42 samples of the "
        "training set."
    ]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.confusion=-1", "data.confusion=-1: give 0 samples or more."),
        ("data.confusion=9223372036854775808", "data.confusion: at most 9223372036854775807"),
        ("data.resize=0", "data.resize=0: give a side of at least 1 pixel, or null."),
    ],
)
def test_confusion_sets_and_images_of_no_size(override: str, words: str) -> None:
    (problem,) = problems(tiny_config("data=mnist", override))
    assert problem.startswith(words)


@pytest.mark.parametrize(
    "override",
    [
        "device=cpu",
        "threads=3",
        "chunk_size=7",
        "memory_limit=2GB",
        "tracking.name=none",
        "tracking.experiment=other",
    ],
)
def test_what_does_not_decide_the_numbers_is_not_in_the_hash(override: str) -> None:
    assert config_hash(tiny_config()) == config_hash(_changed(override))


def test_data_root_is_not_in_the_hash() -> None:
    here, there = (tiny_config("data=mnist", f"data.root={root}") for root in ("here", "there"))
    assert config_hash(here) == config_hash(there)


@pytest.mark.parametrize(
    "override",
    [
        "n=31",
        "p_random=0.1",
        "ch=7",
        "n_sets=3",
        "n_test=51",
        "epochs=3",
        "measure_at=[0,1]",
        "lr=0.002",
        "seed=1",
        "dtype=float64",
        "tf32=true",
        "data.noisy_test=false",
        "data.label_noise=different",
        "data.elastic=2",
        "model._target_=some.Network",
        "model.init=he",
        "model.args.depth=2",
        "measures.variance=unbiased",
    ],
)
def test_what_decides_the_numbers_is_in_the_hash(override: str) -> None:
    assert config_hash(tiny_config()) != config_hash(_changed(override))


def test_records_from_before_tf32_have_the_identity_of_tf32_off() -> None:
    cfg = tiny_config("tf32=false")
    assert "tf32" not in science_part(cfg)
    content = dataclasses.asdict(cfg)
    content.pop("tf32")
    older = from_omegaconf(OmegaConf.create(content))
    assert older.tf32 is False
    assert config_hash(older) == config_hash(cfg)


@pytest.mark.parametrize("section", ["stop", "preset", "tracking", "measures", "loss"])
@pytest.mark.parametrize("value", [3, None, "x", [1]])
def test_what_holds_keys_is_no_value(section: str, value: object) -> None:
    content = dataclasses.asdict(tiny_config()) | {section: value}
    with pytest.raises(GsnrError) as refusal:
        from_omegaconf(OmegaConf.create(content))
    assert f"{section} holds keys of its own: {section}." in str(refusal.value)


# --- help


def test_every_key_has_a_line_of_help() -> None:
    for key in known_keys():
        if key not in _SECTIONS:
            assert help_of(key), key
    assert [name for name, _ in describe_keys()] == [
        item.name for item in dataclasses.fields(Config) if item.name not in _SECTIONS
    ]


_SECTIONS = {"data", "model", "optim", "loss", "stop", "measures", "tracking", "preset"}


def test_every_data_set_of_conf_has_the_schema_of_its_name() -> None:
    for path in sorted((CONF / "data").glob("*.yaml")):
        given = {"npz": ["data.path=x.npz"], "custom": ["data._target_=my_data.pair"]}
        cfg = tiny_config(f"data={path.stem}", *given.get(path.stem, []))
        assert type(cfg.data) is DATA_SCHEMAS[path.stem]
        assert cfg.data.name == path.stem
        assert problems(cfg) == []


def test_torchvision_pools_are_those_of_the_real_data_sets() -> None:
    sizes = {"mnist": (60_000, [1, 28, 28]), "fashion_mnist": (60_000, [1, 28, 28])}
    sizes["cifar10"] = (50_000, [3, 32, 32])
    for name, (pool, shape) in sizes.items():
        data = tiny_config(f"data={name}").data
        assert isinstance(data, TorchvisionConfig)
        assert (data.train_pool, data.test_pool, data.shape) == (pool, 10_000, shape)


def test_a_config_survives_a_round_trip_through_plain_containers() -> None:
    cfg = tiny_config("data=toy", "data.eta=0.3")
    again = from_omegaconf(OmegaConf.create(dataclasses.asdict(cfg)))
    assert again == cfg
    assert isinstance(again.data, ToyConfig)
    assert math.isclose(again.data.eta, 0.3)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.mean=[.nan]", "data.mean=[nan]: only finite numbers are allowed."),
        ("data.std=[.inf]", "data.std=[inf]: only finite numbers are allowed."),
        ("data.rotation=.inf", "data.rotation=inf: only finite numbers are allowed."),
        ("data.elastic=.inf", "data.elastic=inf: only finite numbers are allowed."),
        ("model.args.x=.nan", "model.args.x=nan: only finite numbers are allowed."),
        ("model.args.x.y=-.inf", "model.args.x.y=-inf: only finite numbers are allowed."),
        ("model.args.x=[1,[2,.inf]]", "model.args.x=[1, [2, inf]]: only finite numbers"),
        ("lr=.inf", "lr=inf: the learning rate must be a positive, finite number."),
        ("p_random=.nan", "p_random=nan: probability that a label"),
        ("data.shear=.nan", "data.shear=nan: only finite numbers are allowed."),
    ],
)
def test_numbers_that_are_not_finite_are_refused_once(override: str, words: str) -> None:
    (problem,) = problems(_changed(override))
    assert problem.startswith(words)


def test_arguments_of_ones_own_data_are_finite_too() -> None:
    args = {"turns": math.nan, "names": ["a", None], "deep": [{"x": math.inf}]}
    data = CustomDataConfig("custom", True, "uniform", "my_data.f", args, "auto", True)
    found = problems(dataclasses.replace(tiny_config(), data=data))
    assert [problem.partition("=")[0] for problem in found] == ["data.args.turns", "data.args.deep"]
