"""Training and measuring replicas against plain PyTorch, in float64."""

import copy
import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.validation import problems
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.engine.chunking import (
    ChunkSizes,
    bytes_per_sample,
    chunk_sizes,
    explicit_chunks,
)
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients import Method
from gsnr_sweep.gradients.parameters import layers_of
from gsnr_sweep.losses.loss import CROSS_ENTROPY, SQUARED_ERROR
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from tests.conftest import typed_config
from tests.gradients.oracles import gradient_descent, per_sample_gradients

CPU = torch.device("cpu")


def _config(*overrides: str) -> Config:
    tiny = ("n=11", "n_sets=3", "n_test=17", "epochs=3", "measure_at=[0,2,3]", "lr=0.05")
    cfg = typed_config(*tiny, *overrides)
    assert problems(cfg) == []
    return cfg


def _samples(n: int, seed: int, shape: tuple[int, ...] = (6,)) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    return Samples(x, torch.randint(0, 4, (n,), generator=generator))


def _sets(cfg: Config, shape: tuple[int, ...] = (6,)) -> RunSets:
    train = [_samples(cfg.n, 10 + m, shape) for m in range(cfg.n_sets)]
    return RunSets(train, _samples(cfg.n_test, 99, shape))


def _mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def _losses(outputs: Tensor, y: Tensor) -> Tensor:
    return CROSS_ENTROPY(outputs, y)


def _run(cfg: Config, model: nn.Module, sets: RunSets) -> list[Snapshot]:
    return list(Ensemble(copy.deepcopy(model), sets, "classification", cfg.training, CPU).run())


@pytest.mark.parametrize("chunk", ["null", "1", "4"])
def test_a_snapshot_holds_what_plain_pytorch_computes(chunk: str) -> None:
    cfg = _config("dtype=float64", f"chunk_size={chunk}")
    sets = _sets(cfg)
    snapshots = _run(cfg, _mlp(), sets)
    assert [s.epoch for s in snapshots] == [0, 2, 3]
    for snapshot in snapshots:
        changes = torch.zeros(cfg.n_test, dtype=torch.float64)
        for m, train in enumerate(sets.train):
            model = _mlp().double()
            gradient_descent(model, train.x, train.y, _losses, cfg.lr, snapshot.epoch)
            gradients = per_sample_gradients(model, train.x, train.y, _losses)
            before = _losses(model(sets.test.x), sets.test.y).detach()
            close = {"rtol": 1e-9, "atol": 1e-12}
            torch.testing.assert_close(snapshot.gradient_sum[m], gradients.sum(0), **close)
            torch.testing.assert_close(
                snapshot.gradient_square_sum[m], gradients.square().sum(0), **close
            )
            torch.testing.assert_close(
                snapshot.plugin_variance[m], gradients.var(0, correction=0), **close
            )
            train_loss = _losses(model(train.x), train.y).mean()
            torch.testing.assert_close(snapshot.train_loss[m], train_loss.detach(), **close)
            torch.testing.assert_close(snapshot.test_loss[m], before.mean(), **close)
            torch.testing.assert_close(
                snapshot.step_sq_norm[m], gradients.mean(0).square().sum(), **close
            )
            gradient_descent(model, train.x, train.y, _losses, cfg.lr, 1)
            after = _losses(model(sets.test.x), sets.test.y).detach()
            train_loss = _losses(model(train.x), train.y).mean()
            torch.testing.assert_close(snapshot.train_loss_next[m], train_loss.detach(), **close)
            torch.testing.assert_close(snapshot.test_loss_next[m], after.mean(), **close)
            changes += after - before
        torch.testing.assert_close(snapshot.test_loss_change, changes, rtol=1e-8, atol=1e-12)


def test_unbiased_variance() -> None:
    cfg = _config("dtype=float64", "measures.variance=unbiased", "epochs=0", "measure_at=[0]")
    sets = _sets(cfg)
    (snapshot,) = _run(cfg, _mlp(), sets)
    gradients = per_sample_gradients(_mlp().double(), sets.train[0].x, sets.train[0].y, _losses)
    torch.testing.assert_close(
        snapshot.gradient_variance[0], gradients.var(0, correction=1), rtol=1e-9, atol=1e-14
    )


@pytest.mark.parametrize("threads", [2, 3])
def test_numbers_do_not_depend_on_the_threads(threads: int) -> None:
    cfg = _config()
    sets, model = _sets(cfg), _mlp()
    alone = _run(dataclasses.replace(cfg, threads=1), model, sets)
    together = _run(dataclasses.replace(cfg, threads=threads), model, sets)
    for a, b in zip(alone, together, strict=True):
        for field in dataclasses.fields(a):
            value = getattr(a, field.name)
            if isinstance(value, Tensor):
                assert torch.equal(value.nan_to_num(-1), getattr(b, field.name).nan_to_num(-1))


def test_the_schedule_does_not_change_the_training() -> None:
    cfg = _config("epochs=3", "measure_at=[3]")
    sets, model = _sets(cfg), _mlp()
    (rarely,) = _run(cfg, model, sets)
    often = _run(dataclasses.replace(cfg, measure_at=[0, 1, 2, 3]), model, sets)[-1]
    assert torch.equal(rarely.train_loss, often.train_loss)
    assert torch.equal(rarely.gradient_sum, often.gradient_sum)


def test_updates_far_below_float32_resolution_add_up() -> None:
    cfg = _config("lr=1e-9", "epochs=200", "measure_at=[200]", "dtype=float32")
    sets = _sets(cfg)
    ensemble = Ensemble(_mlp(), sets, "classification", cfg.training, CPU)
    first = [w.clone() for w in ensemble.replicas[0]._weights]
    gradient = ensemble.replicas[0].gradient()
    list(ensemble.run())
    for before, after, g in zip(first, ensemble.replicas[0]._weights, gradient, strict=True):
        torch.testing.assert_close(before - after, 201e-9 * g, rtol=1e-4, atol=1e-15)


def test_batch_normalization_steps_and_measures_as_the_paper_says() -> None:
    """Plain PyTorch: training mode for the step, training-set statistics for every measurement."""
    cfg = _config("dtype=float64", "epochs=2", "measure_at=[2]", "chunk_size=4", "n_sets=2")
    sets = _sets(cfg)
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    (snapshot,) = _run(cfg, base, sets)
    for m, train in enumerate(sets.train):
        model = copy.deepcopy(base).double().train()
        gradient_descent(model, train.x, train.y, _losses, cfg.lr, 2)
        _freeze_statistics(model, train.x)
        gradients = per_sample_gradients(model, train.x, train.y, _losses)
        test = _losses(model(sets.test.x), sets.test.y).mean().detach()
        close = {"rtol": 1e-8, "atol": 1e-11}
        torch.testing.assert_close(snapshot.gradient_sum[m], gradients.sum(0), **close)
        torch.testing.assert_close(
            snapshot.gradient_square_sum[m], gradients.square().sum(0), **close
        )
        torch.testing.assert_close(snapshot.test_loss[m], test, **close)
        model.train()
        stepped = torch.autograd.grad(
            _losses(model(train.x), train.y).mean(), list(model.parameters())
        )
        sq_norm = sum(g.square().sum() for g in stepped)
        torch.testing.assert_close(snapshot.step_sq_norm[m], sq_norm, **close)
        gradient_descent(model, train.x, train.y, _losses, cfg.lr, 1)
        _freeze_statistics(model, train.x)
        test = _losses(model(sets.test.x), sets.test.y).mean().detach()
        torch.testing.assert_close(snapshot.test_loss_next[m], test, **close)


def _freeze_statistics(model: nn.Module, x: Tensor) -> None:
    """Set PyTorch's running statistics to exactly those of `x` (biased variance)."""
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm1d)
    with torch.no_grad():
        hidden = model[0](x)
        norm.running_mean = hidden.mean(0)
        norm.running_var = hidden.var(0, correction=0)
    model.eval()


def test_accuracies_of_train_and_test() -> None:
    cfg = _config("epochs=0", "measure_at=[0]", "dtype=float64")
    sets = _sets(cfg)
    (snapshot,) = _run(cfg, _mlp(), sets)
    model = _mlp().double()
    for m, train in enumerate(sets.train):
        right = _count_right(model, train)
        assert float(snapshot.train_accuracy[m]) == pytest.approx(right / cfg.n)
    right = _count_right(model, sets.test)
    assert float(snapshot.test_accuracy[0]) == pytest.approx(right / cfg.n_test)


def _count_right(model: nn.Module, samples: Samples) -> int:
    pairs = zip(samples.x, samples.y, strict=True)
    return sum(int(model(x[None])[0].argmax()) == int(y) for x, y in pairs)


def test_losses_are_float64_whatever_the_network() -> None:
    outputs, labels = torch.tensor([[30.0, 0.0]]), torch.tensor([0])
    loss = _losses(outputs, labels)
    assert loss.dtype is torch.float64
    assert float(loss[0]) == pytest.approx(math.log1p(math.exp(-30)), rel=1e-6)  # 0 in float32
    assert CROSS_ENTROPY.count_correct(outputs, labels) == 1


def test_regression_loss_sums_squares_over_outputs() -> None:
    found = SQUARED_ERROR(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 5.0]]))
    assert found.tolist() == [10.0]


def test_losses_of_a_large_test_set_need_few_passes() -> None:
    cfg = _config("n=11", "n_test=5000", "epochs=0", "measure_at=[0]")
    ensemble = Ensemble(_mlp(), _sets(cfg), "classification", cfg.training, CPU)
    assert ensemble.chunks.losses >= 5000


@pytest.mark.parametrize(
    "layer",
    [nn.Dropout(0.5), nn.Dropout2d(0.1), nn.LSTM(2, 2, num_layers=2, dropout=0.3)],
)
def test_randomness_is_refused_though_evaluation_mode_hides_it(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(6, 4))
    model.add_module("random", layer)
    cfg = _config()
    with pytest.raises(GsnrError, match="at random"):
        Ensemble(model, _sets(cfg), "classification", cfg.training, CPU)


def test_layers_cover_all_parameters_in_order() -> None:
    cfg = _config()
    ensemble = Ensemble(_mlp(), _sets(cfg), "classification", cfg.training, CPU)
    assert layers_of(ensemble.parameters) == {"0": slice(0, 56), "2": slice(56, 92)}
    assert ensemble.n_parameters == 92


def test_memory_limit_bounds_the_chunks() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4))
    example = torch.randn(2, 3, 8, 8)

    def sizes(
        n: int, limit: int, chunk: int | None = None, method: Method = Method.LAYERWISE
    ) -> Any:
        return chunk_sizes(*bytes_per_sample(model, example, method), n, limit, chunk)

    per_sample = (3 * 64 + 2 * (6 * 36 + 6 * 36 + 6 * 36 + 4)) * 4  # bytes of activations
    assert sizes(100, per_sample * 10).step == 10
    assert sizes(100, per_sample * 33).step == 25  # four equal chunks
    tight, loose = (sizes(9000, limit) for limit in (10**5, 10**9))
    assert tight.moments < tight.step < loose.step == loose.moments
    assert loose.step == 9000 / math.ceil(9000 / (16 * 10**6 // per_sample))
    patches, weights = 2 * 36 * 3 * 9, 4 * (3 * 6 * 9 + 6)
    assert tight.moments == math.ceil(
        9000 / math.ceil(9000 / (10**5 // (per_sample + 4 * (patches + weights))))
    )
    by_network = sizes(9000, 10**5, method=Method.FUNCTORCH)
    assert by_network.moments <= 10**5 // (4 * 4 * (168 + 868))
    assert sizes(100, 1).step == 1
    assert sizes(100, 10**9, 7).moments == 7


def test_chunks_in_lanes_are_whole_blocks_within_the_memory_limit() -> None:
    assert explicit_chunks(10_000, 16, 1000, 10**9, None) == ChunkSizes(1000, 1000, 1600)
    assert explicit_chunks(10_000, 16, 5000, 10**9, None) == ChunkSizes(1264, 1264, 1600)
    assert explicit_chunks(10_000, 16, 1000, 10**6, None) == ChunkSizes(96, 96, 96)
    assert explicit_chunks(10_000, 16, 1000, 10**5, None) == ChunkSizes(10, 10, 10)
    assert explicit_chunks(10_000, 16, 1000, 1, None) == ChunkSizes(1, 1, 1)
    assert explicit_chunks(10_000, 16, 1000, 10**9, 7) == ChunkSizes(7, 7, 7)
