"""What a grid point is said to cost before it runs."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gsnr_sweep.preflight import timing
from gsnr_sweep.preflight.check import CheckedPoint, check
from gsnr_sweep.preflight.cost import Estimate, Observed, estimate, remaining
from gsnr_sweep.preflight.timing import TRIAL_FLOPS, Setup, Timing, set_up, time_trial
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.stepping import RuleSteps
from tests.conftest import TINY, expanded

MB = 10**6


def _points(*arguments: str) -> list[CheckedPoint]:
    points = expanded(*TINY, "device=cpu", *arguments).points
    return check(points)  # type: ignore[arg-type]


def _run(point: CheckedPoint, took: float, **changed: object) -> Observed:
    """A finished run of a point."""
    cfg = point.cfg
    run = Observed(cfg.model.name, cfg.data.name, cfg.ch, point.flops, took, 500 * MB, "cpu")
    return dataclasses.replace(run, **changed)  # type: ignore[arg-type]


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine that takes 1 µs a sample and forward FLOP, and the widths that it was asked for."""
    asked: list[int] = []

    def timed(setup: Setup, flops: float) -> Timing:
        asked.append(setup.cfg.ch)
        assert flops <= TRIAL_FLOPS
        return Timing(step=3e-6, measurement=7e-6, losses=1e-6)

    monkeypatch.setattr(timing, "time_trial", timed)
    return asked


def _seconds(*arguments: str, **options: int) -> list[float]:
    found = [one.seconds for one in estimate(_points("data=toy", *arguments), [], **options)]
    assert all(seconds is not None for seconds in found)
    return found  # type: ignore[return-value]


# --- from timing


def test_time_is_that_of_the_passes(steady: list[int]) -> None:
    (seconds,) = _seconds(
        "ch=20", "n=10000", "n_test=10000", "epochs=5", "measure_at=[0,5]", threads=1
    )
    steps = 4 * 3 * 10_000  # epochs 1 to 4; the measured epochs have their step in them
    measuring = 2 * (7 * 10_000 + 2 * 10_000)
    assert seconds == pytest.approx(2 * (steps + measuring) * 120e-6, rel=0.05)


@pytest.mark.parametrize(
    "axis", ["n=20000,40000", "n_sets=4,8", "'epochs=range(400,801,400)'", "ch=20,40"]
)
def test_twice_as_much_takes_twice_as_long(steady: list[int], axis: str) -> None:
    fixed = ["ch=20", "n=10000", "n_sets=4", "epochs=200", "measure_at=[0]", "n_test=2"]
    less, more = _seconds("-m", *fixed, axis.strip("'"), threads=1)
    assert more / less == pytest.approx(2, rel=0.02)


def test_threads_share_the_replicas_and_crowded_cores_slow_them(
    steady: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "available_cores", lambda: 4)
    grid = ("ch=20", "n=20000", "n_sets=6")
    (alone,) = _seconds(*grid, threads=1)
    assert _seconds(*grid, threads=2) == [pytest.approx(alone / 2, rel=0.02)]
    assert _seconds(*grid, threads=4) == [pytest.approx(alone / 3, rel=0.02)]  # two rounds of 4
    assert _seconds(*grid, workers=2) == _seconds(*grid, threads=2)
    assert _seconds(*grid, workers=8, threads=1) == [pytest.approx(2 * alone, rel=0.02)]
    assert _seconds(*grid, "threads=2") == _seconds(*grid, threads=2)


def test_only_the_widest_is_timed_and_others_follow_its_flops(steady: list[int]) -> None:
    narrow, middle, wide = _seconds("-m", "ch=20,40,80", "n=20000", "n_test=2")
    assert steady == [80]
    assert (middle, wide) == (
        pytest.approx(2 * narrow, rel=0.02),
        pytest.approx(4 * narrow, rel=0.02),
    )


def test_each_kind_of_network_is_timed(steady: list[int]) -> None:
    _seconds("-m", "model=mlp", "data=toy,digits", "ch=20,40")
    assert steady == [40, 40]


def test_a_real_timing() -> None:
    (point,) = estimate(_points("ch=2"), [])
    assert point.seconds is not None
    assert point.seconds > 0
    assert point.basis == "timing"


@pytest.mark.parametrize("grid", [["model=table3_cnn", "ch=1"], ["data=toy", "n_sets=7"]])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_runs_own_passes_are_timed(grid: list[str], threads: int) -> None:
    (point,) = _points(*grid, f"threads={threads}")
    found = time_trial(set_up(point, {}, 1, None), 1e6)
    assert found.measurement > found.losses > 0
    assert found.step > 0


def test_batch_normalization_over_several_chunks_is_timed_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The few samples of a trial would fit one chunk, which takes a fraction of the passes."""
    built: list[Ensemble] = []

    def build(*arguments: Any) -> Ensemble:
        built.append(Ensemble(*arguments))
        return built[-1]

    monkeypatch.setattr(timing, "Ensemble", build)
    for limit in ("600MB", "2MB"):
        (point,) = _points("model=table3_cnn", "ch=1", "n=200", f"memory_limit={limit}")
        time_trial(set_up(point, {}, 1, None), 1e6)
    whole, parts = [ensemble.chunks.step / len(ensemble.replicas[0].train) for ensemble in built]
    assert whole == 1
    assert parts == pytest.approx(0.5, abs=0.1)


def test_timing_leaves_the_threads_of_others_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        estimate(_points("data=toy"), [])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# --- from finished runs


def test_finished_runs_take_precedence(steady: list[int]) -> None:
    seen, unseen = _points("-m", "data=toy,digits", "model=mlp", "ch=20")
    first, second = estimate([seen, unseen], [_run(seen, 100.0)])
    assert (first.seconds, first.basis) == (pytest.approx(100.0), "1 finished run")
    assert second.basis == "timing"
    assert steady == [20]


def test_time_follows_the_rate_of_finished_runs() -> None:
    small, large = _points("-m", "data=toy", "n=100,400")
    (found,) = estimate([large], [_run(small, s) for s in (1.0, 2.0, 90.0)])
    assert found.seconds == pytest.approx(2.0 * large.flops / small.flops)
    assert found.basis == "3 finished runs"
    assert found.flops == large.flops


def test_a_run_of_quite_another_size_says_nothing(steady: list[int]) -> None:
    tiny, large = _points("-m", "data=toy", "n=100,10000")
    (found,) = estimate([large], [_run(tiny, 1.0)])
    assert found.basis == "timing"


def test_the_nearest_width_counts() -> None:
    narrow, middle, wide = _points("-m", "data=toy", "ch=10,80,100")
    (found,) = estimate([middle], [_run(narrow, 1.0), _run(wide, 5.0)])
    assert found.seconds == pytest.approx(5.0 * middle.flops / wide.flops)


def test_of_one_width_the_runs_nearest_in_size_count() -> None:
    tiny, large = _points("-m", "data=toy", "n=10,10000")
    runs = [_run(tiny, 1.0) for _ in range(20)] + [_run(large, 7.0) for _ in range(5)]
    (found,) = estimate([large], runs)
    assert found.seconds == pytest.approx(7.0)


@pytest.mark.parametrize(
    "changed",
    [{"device": "cuda:0 (H200)"}, {"model": "mlp2"}, {"data": "mnist"}, {"seconds": 0.0}],
)
def test_other_runs_do_not_count(steady: list[int], changed: dict[str, object]) -> None:
    (point,) = _points("data=toy")
    (found,) = estimate([point], [_run(point, 100.0, **changed)])
    assert found.basis == "timing"


def test_memory_of_the_same_point_is_known() -> None:
    point, other = _points("-m", "data=toy", "n=100,200")
    same, larger = estimate([point, other], [_run(point, 1.0, peak_memory_bytes=123 * MB)])
    assert same.memory_bytes == 123 * MB
    assert larger.memory_bytes > 123 * MB


# --- memory


@pytest.mark.parametrize(
    "axis",
    ["n=1000,20000", "n_sets=2,20", "n_test=100,100000", "ch=4,16", "dtype=float32,float64"],
)
def test_more_needs_more_memory(steady: list[int], axis: str) -> None:
    less, more = estimate(_points("-m", "threads=1", "data=digits", axis), [])
    assert 100 * MB < less.memory_bytes < more.memory_bytes < 4000 * MB


def test_every_thread_has_its_passes(steady: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "available_cores", lambda: 8)
    points = _points("-m", "threads=1,2,3", "n=1000", "ch=16", "n_sets=4")
    one, two, three = (found.memory_bytes for found in estimate(points, []))
    assert two - one == three - two > 20 * MB


def test_the_memory_limit_bounds_a_pass(steady: list[int]) -> None:
    grid = ("-m", "model=table3_cnn", "ch=4", "n=1000", "threads=1")
    small, large = estimate(_points(*grid, "memory_limit=20MB,600MB"), [])
    assert 100 * MB < large.memory_bytes - small.memory_bytes < 600 * MB


def test_a_pool_is_counted(steady: list[int], tmp_path: Path) -> None:
    def with_pool(n: int) -> int:
        x = np.zeros((n, 28, 28), np.uint8)
        y = np.arange(n) % 10
        path = tmp_path / f"{n}.npz"
        np.savez(path, x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
        (found,) = estimate(_points("data=npz", f"data.path={path}"), [])
        return found.memory_bytes

    pixels = 20_000 * 28 * 28
    assert 9 * pixels < with_pool(20_100) - with_pool(100) < 14 * pixels


def test_a_confusion_set_is_counted_as_samples_of_n_are(steady: list[int]) -> None:
    rules = ("threads=1", "n_test=100", "epochs=5")
    (beside,) = estimate(_points(*rules, "n=1000", "data.confusion=5000"), [])
    (alone,) = estimate(_points(*rules, "n=6000"), [])
    assert beside == alone


def test_a_trial_has_no_confusion_set() -> None:
    (seconds,) = [one.seconds for one in estimate(_points("n=64", "data.confusion=64"), [])]
    assert seconds is not None
    assert seconds > 0


def test_pools_are_read_before_images_are_resized(steady: list[int]) -> None:
    grid = ("data=mnist", "model=mlp", "ch=2", "n_test=100")

    def memory(n: int, *resize: str) -> int:
        (found,) = estimate(_points(*grid, f"n={n}", "threads=1", *resize), [])
        return found.memory_bytes

    assert memory(100, "data.resize=28") == memory(100)
    assert 0 <= memory(100, "data.resize=64") - memory(100) < 5 * MB
    drawn = 2 * 50_000 * (64**2 - 28**2)
    more = memory(50_000, "data.resize=64") - memory(50_000)
    assert 0.5 * drawn < more < 1.2 * drawn


def pool(n: int) -> Any:
    """Images in float64: nothing is smaller than a pixel of a user's own may be."""
    sample = (np.zeros((28, 28)), 0)
    return [sample] * n, [sample, (np.zeros((28, 28)), 9)] * 50


def test_a_pool_of_the_users_may_be_of_floats(steady: list[int]) -> None:
    def with_pool(n: int) -> int:
        own = ("data=custom", f"data._target_={__name__}.pool", f"+data.args.n={n}")
        (found,) = estimate(_points(*own), [])
        return found.memory_bytes

    values = 8 * 10_000 * 28 * 28
    assert 3 * values < with_pool(20_000) - with_pool(10_000) < 7 * values


# --- what goes wrong


def test_a_timing_that_fails_leaves_the_time_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Replica, "moments", broken)
    (found,) = estimate(_points("data=toy"), [])
    assert (found.seconds, found.basis) == (None, "unknown")
    assert found.memory_bytes > 0


def test_a_point_that_cannot_be_built_spoils_no_other(steady: list[int]) -> None:
    good, bad = _points("-m", "data=toy", "ch=20,40")
    bad.cfg.model = dataclasses.replace(bad.cfg.model, _target_="no.such.Network")
    found = estimate([good, bad], [])
    assert [one.basis for one in found] == ["timing", "unknown"]
    assert found[1].memory_bytes > 0


def test_no_points() -> None:
    assert estimate([], []) == []


# --- the rest of an interrupted run


def test_a_run_with_a_stopping_rule_costs_at_most_its_last_epoch(steady: list[int]) -> None:
    stopping = ("data=toy", "epochs=400", "measure_at=[0,400]", "stop.train_loss=0.1")
    (point,) = _points(*stopping)
    (early,) = estimate([point], [])
    assert early.at_most
    assert remaining(early, point.cfg, 70).at_most
    assert not estimate(_points("data=toy"), [])[0].at_most


def test_what_remains_after_a_checkpoint() -> None:
    (point,) = _points("epochs=100", "measure_at=[20,100]")
    whole = Estimate(point.flops, 5, 100.0, "timing")
    assert remaining(whole, point.cfg, 0) == whole
    (rest,) = _points("epochs=60", "measure_at=[60]")
    left = remaining(whole, point.cfg, 40)
    assert left.flops == pytest.approx(rest.flops)
    assert left.seconds == pytest.approx(100.0 * rest.flops / point.flops)
    assert left.memory_bytes == 5
    assert remaining(dataclasses.replace(whole, seconds=None), point.cfg, 40).seconds is None


@pytest.mark.parametrize(("batch_size", "steps"), [(3, 4), (10, 1)])
def test_an_epoch_of_mini_batches_is_timed(
    batch_size: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones cost more a sample: a single one says nothing of an epoch."""
    taken: list[int] = []
    real = RuleSteps.take

    def noted(self: RuleSteps, count: int = 1) -> None:
        taken.append(count)
        real(self, count)

    monkeypatch.setattr(RuleSteps, "take", noted)
    batches = ("optim=sgd", f"optim.batch_size={batch_size}", "model=mlp", "ch=3", "n=12")
    (point,) = check(expanded(*TINY, *batches).points)
    time_trial(set_up(point, {}, 1, 1), TRIAL_FLOPS)
    assert taken[-2:] == [steps, steps]


def test_rules_of_training_are_timed_apart(steady: list[int]) -> None:
    given = ("n=40", "model=mlp", "ch=3", "optim=gd,sgd,adam")
    points = check(expanded("-m", *TINY, *given).points)
    setups = [set_up(point, {}, 1, 1) for point in points]
    assert len({setup.family for setup in setups}) == 3
