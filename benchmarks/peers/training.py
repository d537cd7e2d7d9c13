"""Full-batch gradient descent of M replicas, the ways that people write it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.peers.losses import summed_loss
from benchmarks.peers.networks import plain_network
from benchmarks.peers.tuning import Setting, best_setting, settings, timed
from benchmarks.workloads import LR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.workloads import Workload


def flat(tensors: Sequence[Tensor]) -> NDArray[np.float64]:
    """Put tensors into one vector."""
    joined = torch.cat([tensor.detach().double().flatten() for tensor in tensors])
    return np.asarray(joined.numpy(), dtype=np.float64)


class PlainLoop:
    """A loop over replicas, each with torch.optim.SGD, gradients summed over chunks."""

    def __init__(
        self,
        workload: Workload,
        epochs: int,
        chunks: Sequence[int],
        dtype: str = "float32",
    ) -> None:
        """Make M copies of the network."""
        self.workload, self.epochs = workload, epochs
        self.data = workload.tensors(dtype)
        self.models = [plain_network(workload, dtype) for _ in self.data]
        self.optimizers = [torch.optim.SGD(model.parameters(), lr=LR) for model in self.models]
        self.chunks = [workload.n] if workload.normalizes else [*chunks, workload.n]
        self.setting = settings(self.chunks, workload.n)[0]
        self._loss = summed_loss(workload.task)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the summed loss of a chunk."""
        return self._loss(model(x), y)

    def tune(self) -> str:
        """Choose chunk size and threads by the gradient of one replica."""
        candidates = settings(self.chunks, self.workload.n)
        self.setting = best_setting(candidates, lambda setting: self.gradient(0, setting))
        return self.setting.describe(self.workload.n)

    def gradient(self, m: int, setting: Setting) -> None:
        """Leave the gradient of replica m's training loss in its parameters."""
        self.optimizers[m].zero_grad()
        x, y = self.data[m]
        for start in range(0, len(x), setting.chunk):
            part = slice(start, start + setting.chunk)
            (self.loss(self.models[m], x[part], y[part]) / len(x)).backward()

    def numbers(self) -> NDArray[np.float64]:
        """Return the gradients of the first and the last replica, [2, P]."""
        rows = []
        for m in (0, len(self.models) - 1):
            self.gradient(m, self.setting)
            rows.append(flat([p.grad for p in self.models[m].parameters() if p.grad is not None]))
        return np.stack(rows)

    def work(self) -> None:
        """Train for the epochs."""
        torch.set_num_threads(self.setting.threads)
        for _ in range(self.epochs):
            for m in range(len(self.models)):
                self.gradient(m, self.setting)
                self.optimizers[m].step()


class CompiledLoop(PlainLoop):
    """The same loop with network and loss compiled by torch.compile."""

    def __init__(
        self, workload: Workload, epochs: int, chunks: Sequence[int], dtype: str = "float32"
    ) -> None:
        """Compile nothing yet."""
        os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # else compiling looks too fast
        super().__init__(workload, epochs, chunks, dtype)
        self._compiled: Callable[..., Tensor] = torch.compile(super().loss, dynamic=False)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the summed loss of a chunk."""
        return self._compiled(model, x, y)

    def tune(self) -> str:
        """Compile for each setting, then choose; only the time of compiling is not compared."""
        times, compiling = {}, 0.0
        for setting in settings(self.chunks, self.workload.n):
            compiling += timed(self._twice, setting)
            times[setting] = min(timed(self._first, setting) for _ in range(2))
        self.setting = min(times, key=times.__getitem__)
        return f"{self.setting.describe(self.workload.n)}; {compiling:.0f} s to compile"

    def _first(self, setting: Setting) -> None:
        self.gradient(0, setting)

    def _twice(self, setting: Setting) -> None:
        """Meet another replica too, in case it is compiled anew."""
        self.gradient(0, setting)
        self.gradient(len(self.models) - 1, setting)


class VmapReplicas:
    """torch.func: parameters of all replicas stacked, vmap(grad) over parameters and sets."""

    def __init__(
        self, workload: Workload, epochs: int, chunks: Sequence[int], dtype: str = "float32"
    ) -> None:
        """Stack the replicas."""
        self.workload, self.epochs = workload, epochs
        data = workload.tensors(dtype)
        self.x, self.y = (torch.stack(parts) for parts in zip(*data, strict=True))
        models = [plain_network(workload, dtype) for _ in data]
        self.parameters, self.buffers = stack_module_state(models)
        self.chunks = [workload.n] if workload.normalizes else [*chunks, workload.n]
        self.setting = settings(self.chunks, workload.n)[0]
        self._gradients = vmap(grad(self._loss_of(models[0])))

    def _loss_of(self, model: nn.Module) -> Callable[..., Tensor]:
        skeleton, loss = model.to("meta"), summed_loss(self.workload.task)

        def mean_loss(parameters: Any, buffers: Any, x: Tensor, y: Tensor) -> Tensor:
            outputs = functional_call(skeleton, (parameters, buffers), (x,))
            return loss(outputs, y) / self.workload.n

        return mean_loss

    def tune(self) -> str:
        """Choose chunk size and threads by the gradients of all replicas."""
        candidates = settings(self.chunks, self.workload.n)
        self.setting = best_setting(candidates, self._trial)
        return self.setting.describe(self.workload.n)

    def _trial(self, setting: Setting) -> None:
        self.gradients(setting)

    def gradients(self, setting: Setting) -> dict[str, Tensor]:
        """Return the gradients of all replicas, [M, …] a parameter."""
        total: dict[str, Tensor] = {}
        for start in range(0, self.workload.n, setting.chunk):
            part = slice(start, start + setting.chunk)
            found = self._gradients(self.parameters, self.buffers, self.x[:, part], self.y[:, part])
            for name, gradient in found.items():
                total[name] = total[name] + gradient if name in total else gradient
        return total

    def numbers(self) -> NDArray[np.float64]:
        """Return the gradients of the first and the last replica, [2, P]."""
        found = self.gradients(self.setting)
        return np.stack([flat([gradient[m] for gradient in found.values()]) for m in (0, -1)])

    @torch.no_grad()
    def work(self) -> None:
        """Train for the epochs."""
        torch.set_num_threads(self.setting.threads)
        for _ in range(self.epochs):
            for name, gradient in self.gradients(self.setting).items():
                self.parameters[name] -= LR * gradient
