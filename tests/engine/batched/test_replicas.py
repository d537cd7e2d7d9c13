"""M replicas as one tensor against one network at a time by ordinary autograd."""

import copy
import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.engine.batched import cuda_graph, layers, summed_gradient
from gsnr_sweep.engine.batched.functional import FunctionalGradient, can_batch
from gsnr_sweep.engine.batched.mlp import MLPGradient
from gsnr_sweep.engine.batched.one_hidden_layer import OneHiddenLayerGradient
from gsnr_sweep.engine.batched.replicas import BatchedReplicas
from gsnr_sweep.engine.cpu.kernels import Kernels, available
from gsnr_sweep.gradients.parameters import row_views, trained_parameters
from gsnr_sweep.losses.loss import CROSS_ENTROPY, SQUARED_ERROR, Task, loss_of_task
from gsnr_sweep.models.mlp import MLP
from gsnr_sweep.models.table2_cnn import Table2CNN
from gsnr_sweep.models.table3_cnn import Table3CNN
from tests.engine.instruction_sets import EACH
from tests.gradients.cases import CASES
from tests.gradients.test_moments import _Mixing

M, N, LR = 5, 13, 0.05
CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA GPU here: capture and replay are not tested"
)


def _frozen(model: nn.Module, *names: str) -> nn.Module:
    for name, parameter in model.named_parameters():
        if name in names or name.partition(".")[0] in names:
            parameter.requires_grad_(False)
    return model


def _plain(*layers: nn.Module) -> Callable[[], nn.Module]:
    """Make the network anew each time, with weights of the seed that is set then."""

    def fresh() -> nn.Module:
        network = nn.Sequential(*copy.deepcopy(layers))
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
        return network

    return fresh


# name: (factory, input shape, outputs, task, way)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, Task, type]] = {
    "table2": (
        lambda: Table2CNN(2, (1, 28, 28), 10), (1, 28, 28), 10, "classification",
        FunctionalGradient,
    ),
    "table3_batch_norm": (
        lambda: Table3CNN(2, (3, 16, 16), 4), (3, 16, 16), 4, "classification", FunctionalGradient,
    ),
    "table2_frozen": (
        lambda: _frozen(Table2CNN(2, (1, 28, 28), 10), "conv1", "fc1"), (1, 28, 28), 10,
        "classification", FunctionalGradient,
    ),
    "toy": (lambda: MLP(6, (2,), 1), (2,), 1, "regression", OneHiddenLayerGradient),
    "toy_frozen_below": (
        lambda: _frozen(MLP(6, (2,), 1), "fc1"), (2,), 1, "regression", OneHiddenLayerGradient,
    ),
    "toy_frozen_above": (
        lambda: _frozen(MLP(6, (2,), 1), "fc2"), (2,), 1, "regression", OneHiddenLayerGradient,
    ),
    "toy_no_bias": (
        _plain(nn.Linear(2, 6, bias=False), nn.ReLU(), nn.Linear(6, 1, bias=False)), (2,), 1,
        "regression", OneHiddenLayerGradient,
    ),
    "deep_regression": (lambda: MLP(6, (2,), 1, depth=3), (2,), 1, "regression", MLPGradient),
    "two_targets": (lambda: MLP(6, (3,), 2), (3,), 2, "regression", MLPGradient),
    "mlp": (lambda: MLP(7, (1, 4, 5), 4, depth=2), (1, 4, 5), 4, "classification", MLPGradient),
    "mlp_frozen_below": (
        lambda: _frozen(MLP(7, (5,), 4, depth=2), "fc1"), (5,), 4, "classification", MLPGradient,
    ),
    "mlp_frozen_between": (
        lambda: _frozen(MLP(7, (5,), 4, depth=2), "fc2", "fc1.bias"), (5,), 4, "classification",
        MLPGradient,
    ),
    "no_relu": (
        _plain(nn.Linear(5, 6, bias=False), nn.Linear(6, 4)), (5,), 4, "classification",
        MLPGradient,
    ),
    "one_layer": (_plain(nn.Linear(5, 4)), (5,), 4, "classification", MLPGradient),
    "tanh": (
        _plain(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)), (5,), 4, "classification",
        FunctionalGradient,
    ),
}  # fmt: skip


def _sets(shape: tuple[int, ...], outputs: int, task: Task, n: int = N) -> list[Samples]:
    found = []
    for m in range(M):
        generator = torch.Generator().manual_seed(m)
        x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
        if task == "classification":
            y = torch.randint(0, outputs, (n,), generator=generator)
        else:
            y = torch.randn(n, outputs, generator=generator, dtype=torch.float64)
        found.append(Samples(x, y, Standardization((0.1,) * shape[0], (0.7,) * shape[0])))
    return found


def _network(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return prepare_network(NETWORKS[name][0](), dtype, CPU)


def _stacked(
    name: str,
    dtype: torch.dtype = torch.float64,
    chunk: int = N,
    threads: int = 1,
    n: int = N,
    device: torch.device = CPU,
    kernels: Kernels | None = None,
) -> BatchedReplicas:
    _, shape, outputs, task, _ = NETWORKS[name]
    model = _network(name, dtype).to(device)
    train = [samples.to(device) for samples in _sets(shape, outputs, task, n)]
    return BatchedReplicas(
        model, trained_parameters(model), train, loss_of_task(task), dtype, chunk, threads, kernels
    )


def _one_by_one(name: str, steps: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Train every replica by a plain loop; return weights and next gradients, [M, P] each."""
    _, shape, outputs, task, _ = NETWORKS[name]
    weights, gradients = [], []
    for train in _sets(shape, outputs, task):
        model = _network(name, dtype)
        own = [p for p in model.parameters() if p.requires_grad]
        x, y = train.batch(0, len(train), dtype)
        for _ in range(steps + 1):
            gradient = torch.autograd.grad(loss_of_task(task)(model(x), y).mean(), own)
            weights_now = torch.cat([p.detach().flatten() for p in own])
            with torch.no_grad():
                for parameter, g in zip(own, gradient, strict=True):
                    parameter -= LR * g
        weights.append(weights_now)
        gradients.append(torch.cat([g.flatten() for g in gradient]))
    return torch.stack(weights).double(), torch.stack(gradients).double()


def _assert_close(found: Tensor, expected: Tensor, relative: float) -> None:
    largest = expected.abs().amax(1, keepdim=True)
    assert bool(((found - expected).abs() <= relative * largest).all())


# --- the numbers


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_and_steps_are_those_of_a_plain_loop(name: str) -> None:
    stacked = _stacked(name)
    assert type(stacked._way) is NETWORKS[name][4]
    for steps in range(3):
        weights, gradient = _one_by_one(name, steps)
        found = stacked.gradient()
        assert found.dtype is torch.float64
        _assert_close(found, gradient, 1e-10)
        _assert_close(stacked.master, weights, 1e-10)
        stacked.step(LR)


@pytest.mark.parametrize("name", ["table2", "toy", "mlp", "deep_regression"])
def test_float32_is_within_its_rounding(name: str) -> None:
    stacked = _stacked(name, torch.float32)
    assert stacked.working.dtype is torch.float32
    _, exact = _one_by_one(name, 0)
    _assert_close(stacked.gradient(), exact, 5e-6)


@pytest.mark.parametrize("chunk", [1, 4, 7])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "table3_batch_norm"])
def test_gradients_do_not_depend_on_the_chunk_size(name: str, chunk: int) -> None:
    _assert_close(_stacked(name, chunk=chunk).gradient(), _stacked(name).gradient(), 1e-12)


@pytest.mark.parametrize("name", ["table2", "toy", "mlp"])
def test_chunks_made_at_every_pass_are_those_that_are_kept(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = _stacked(name, chunk=4).gradient()
    monkeypatch.setattr(summed_gradient, "KEPT_BYTES", 0)
    again = _stacked(name, chunk=4)
    assert again._way._kept is None  # type: ignore[attr-defined]
    assert torch.equal(again.gradient(), kept)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", ["table2", "table3_batch_norm", "toy", "mlp", "two_targets"])
def test_numbers_do_not_depend_on_the_threads(
    name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "CPU_BYTES", 1000)  # else all fit into one group
    alone, together = (_stacked(name, torch.float32, threads=t) for t in (1, threads))
    assert len(together._way.groups) > 1
    for _ in range(3):
        alone.step(LR)
        together.step(LR)
    together.close()
    assert torch.equal(alone.master, together.master)
    alone.step(LR)
    together.step(LR)  # in the calling thread now
    assert torch.equal(alone.master, together.master)


def test_weights_add_up_updates_below_the_resolution_of_float32() -> None:
    stacked = _stacked("toy", torch.float32)
    before = stacked.master.clone()
    for _ in range(3):
        stacked.descend(torch.ones_like(before), 1e-12)
    torch.testing.assert_close(
        before - stacked.master, torch.full_like(before, 3e-12), rtol=1e-3, atol=0
    )
    assert torch.equal(stacked.working, stacked.master.float())


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_losses_derivative_is_autograds(task: Task, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    outputs = torch.randn(50, 3, dtype=dtype)
    y = torch.randint(0, 3, (50,)) if task == "classification" else torch.randn(50, 3).double()
    leaf = outputs.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss_of_task(task)(leaf, y).sum(), leaf)
    found = loss_of_task(task).output_gradient(outputs, y)
    assert found.dtype is dtype
    assert torch.equal(found, expected)


# --- the compiled kernel


@pytest.fixture(params=EACH)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """The compiled kernels of one instruction set."""
    if request.param not in available():
        pytest.skip(f"no compiled kernels for {request.param} here")
    return Kernels(request.param)


_TOY = [name for name, network in NETWORKS.items() if network[4] is OneHiddenLayerGradient]


@pytest.mark.parametrize("n", [2, 13, 64, 1025])
@pytest.mark.parametrize("name", _TOY)
def test_the_kernel_computes_what_torch_does(name: str, n: int, kernels: Kernels) -> None:
    exact, single = _stacked(name, n=n, chunk=n), _stacked(name, torch.float32, n, n=n)
    compiled = _stacked(name, torch.float32, n, n=n, kernels=kernels)
    assert compiled._way._kernels is kernels  # type: ignore[attr-defined]
    for _ in range(3):
        expected = exact.gradient()
        _assert_close(single.gradient(), expected, 5e-6)
        _assert_close(compiled.gradient(), expected, 5e-6)
        for one in (exact, single, compiled):
            one.step(LR)


def test_the_kernel_in_threads_and_chunks(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "CPU_BYTES", 1000)
    alone, together = (
        _stacked("toy", torch.float32, threads=threads, kernels=kernels) for threads in (1, 2)
    )
    in_chunks = _stacked("toy", torch.float32, chunk=4, kernels=kernels)
    for one in (alone, together, in_chunks):
        one.step(LR)
        one.step(LR)
    assert torch.equal(alone.master, together.master)
    _assert_close(in_chunks.master, alone.master, 1e-6)


@pytest.mark.parametrize("inputs", [1, 3, 4, 5])
def test_the_kernel_takes_few_inputs_only(inputs: int, kernels: Kernels) -> None:
    torch.manual_seed(0)
    model = MLP(9, (inputs,), 1)
    train = _sets((inputs,), 1, "regression")
    found = []
    for some in (None, kernels):
        stacked = BatchedReplicas(
            model, trained_parameters(model), train, SQUARED_ERROR, torch.float32, N, 1, some
        )
        assert (stacked._way._kernels is None) == (some is None or inputs > 4)  # type: ignore[attr-defined]
        found.append(stacked.gradient())
    _assert_close(found[1], found[0], 5e-6)


def test_what_is_not_finite_stays_so(kernels: Kernels) -> None:
    for some in (None, kernels):
        stacked = _stacked("toy", torch.float32, kernels=some)
        stacked.master[1] = torch.nan
        stacked.round()
        gradient = stacked.gradient()
        assert bool(gradient[1].isnan().any())
        assert bool(gradient[[0, 2, 3, 4]].isfinite().all())


# --- one memory


def test_row_views_are_the_stack() -> None:
    stacked, parameters = _stacked("mlp"), trained_parameters(_network("mlp"))
    own = [p for p in _network("mlp").parameters() if p.requires_grad]
    for m in range(M):
        views = row_views(stacked.master[m], parameters)
        assert all(view.is_contiguous() for view in views)
        assert all(torch.equal(a, b) for a, b in zip(views, own, strict=True))
        views[1].fill_(m)
    place = slice(parameters[1].start, parameters[1].stop)
    for m in range(M):
        assert bool((stacked.master[m, place] == m).all())
    stacked.round()
    assert torch.equal(stacked.working, stacked.master)


def test_a_network_on_views_sees_every_step() -> None:
    stacked, model = _stacked("mlp"), _network("mlp")
    own = [p for p in model.parameters() if p.requires_grad]
    for parameter, view in zip(
        own, row_views(stacked.working[2], trained_parameters(model)), strict=True
    ):
        parameter.data = view
    stacked.step(LR)
    train = _sets(*NETWORKS["mlp"][1:4])[2]
    x, y = train.batch(0, N, torch.float64)
    gradient = torch.autograd.grad(CROSS_ENTROPY(model(x), y).mean(), own)
    expected = torch.cat([g.flatten() for g in gradient])
    torch.testing.assert_close(stacked.gradient()[2], expected, rtol=1e-10, atol=1e-13)


def test_the_network_given_is_left_as_it_was() -> None:
    _, shape, outputs, task, _ = NETWORKS["table3_batch_norm"]
    model = _network("table3_batch_norm")
    before = copy.deepcopy(model.state_dict())
    stacked = BatchedReplicas(
        model,
        trained_parameters(model),
        _sets(shape, outputs, task),
        loss_of_task(task),
        torch.float64,
        N,
    )
    stacked.step(LR)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in model.parameters())


# --- what cannot be stacked


def _can_stack(factory: Callable[[], nn.Module], shape: tuple[int, ...]) -> bool:
    torch.manual_seed(0)
    model = prepare_network(factory(), torch.float32, CPU)
    x, y = torch.randn(3, *shape), torch.tensor([0, 1, 3])
    return can_batch(model, trained_parameters(model), x, y, CROSS_ENTROPY)


@pytest.mark.parametrize("name", ["conv_everything", "residual_in_place", "attention", "recurrent"])
def test_most_networks_can_be_batched(name: str) -> None:
    factory, shape, _ = CASES[name]
    assert _can_stack(factory, shape)


def test_batch_normalization_can_be_batched() -> None:
    assert _can_stack(lambda: Table3CNN(2, (3, 16, 16), 4), (3, 16, 16))


class _Branching(nn.Module):
    """Goes another way for some inputs, which vmap cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if bool(self.layer.weight.sum() > 0) else self.layer(-x)


class _Remembering(nn.Module):
    """Does something else at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x) * self.calls


@pytest.mark.parametrize(
    "factory", [_Branching, _Remembering, lambda: nn.Linear(5, 4)],
    ids=["branching", "remembering", "wrong shape"],
)  # fmt: skip
def test_what_torch_func_cannot_do_is_no_error(factory: Callable[[], nn.Module]) -> None:
    assert not _can_stack(factory, (6,))


def test_trying_leaves_the_network_as_it_was() -> None:
    torch.manual_seed(0)
    model = prepare_network(_Mixing(), torch.float32, CPU)
    before = model.layer.weight.detach().clone()
    assert can_batch(
        model, trained_parameters(model), torch.randn(3, 6), torch.tensor([0, 1, 3]),
        CROSS_ENTROPY,
    )  # fmt: skip
    assert model.layer.weight.dtype is torch.float32
    assert torch.equal(model.layer.weight, before)


def test_batch_normalization_needs_the_whole_set_in_one_chunk() -> None:
    with pytest.raises(ValueError, match="all 13 samples at once, not 12"):
        _stacked("table3_batch_norm", chunk=N - 1)


def test_sets_of_unequal_size_are_refused() -> None:
    model = _network("toy")
    train = [*_sets((2,), 1, "regression", 4), *_sets((2,), 1, "regression", 5)]
    with pytest.raises(ValueError, match=r"equal size are needed, not of \[4, 5\]"):
        BatchedReplicas(model, trained_parameters(model), train, SQUARED_ERROR, torch.float64, 5)


# --- CUDA graphs


def test_without_a_graph_the_step_is_taken_as_it_is() -> None:
    def step() -> None:
        raise AssertionError

    assert cuda_graph.captured(step, [], CPU) is step


def test_a_failed_capture_is_one_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    def step() -> None: ...

    monkeypatch.setattr(cuda_graph, "_capture", fail)
    with caplog.at_level(logging.WARNING):
        assert cuda_graph.captured(step, [], torch.device("cuda")) is step
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "kernel by kernel: operation not permitted when stream is capturing"
    )


@needs_gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_a_replayed_graph_does_what_eager_steps_do(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = torch.device("cuda")
    eager, replayed = (_stacked(name, torch.float32, device=device) for _ in range(2))
    for lr in (LR, LR, LR / 2):
        eager.descend(eager.gradient(), lr)
        replayed.step(lr)
    assert not caplog.records  # captured, not fallen back
    _assert_close(replayed.master.cpu(), eager.master.cpu(), 1e-6)


@needs_gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_computes_what_a_cpu_does(name: str) -> None:
    on_gpu, on_cpu = _stacked(name, device=torch.device("cuda")), _stacked(name)
    for _ in range(2):
        on_gpu.step(LR)
        on_cpu.step(LR)
    _assert_close(on_gpu.master.cpu(), on_cpu.master, 1e-8)
