"""Each run at the end of its training, and which of them count."""

from gsnr_sweep.papers.neyshabur2017.networks import interpolating, trained_networks
from tests.tables import make_analysis, make_run


def test_a_network_is_its_runs_last_row() -> None:
    runs = [
        make_run({"train_error": (0.9, 0.4, 0.0)}, epochs=(0, 3, 7), seed=0),
        make_run({"train_error": (0.9, 0.1)}, epochs=(0, 12), seed=1),
        make_run({"train_error": (0.9,)}, epochs=(0,), seed=2),  # nothing was trained
    ]
    found = trained_networks(make_analysis(*runs))
    assert list(zip(found["seed"], found["epoch"], strict=True)) == [(0, 7), (1, 12)]
    assert list(interpolating(found)["seed"]) == [0]


def test_a_nan_at_the_end_is_no_reason_to_take_an_earlier_row() -> None:
    run = make_run({"max_sharpness": (0.1, float("nan"))}, epochs=(1, 2))
    found = trained_networks(make_analysis(run))
    assert list(found["epoch"]) == [2]
    assert found["max_sharpness"].isna().all()


def test_without_a_training_error_all_count() -> None:
    found = trained_networks(make_analysis(make_run({"max_sharpness": 0.1})))
    assert len(interpolating(found)) == 1
