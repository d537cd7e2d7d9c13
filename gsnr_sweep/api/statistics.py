"""What is known of one set's per-sample gradients: mean, variance and their ratio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.gsnr import gsnr
from gsnr_sweep.measures.osgr_rhs import osgr_rhs
from gsnr_sweep.training.snapshot import Snapshot

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class GradientStatistics:
    """Mean g_j, variance ρ²_j and GSNR r_j = g_j² / ρ²_j of n per-sample gradients (eqs. 2, 25).

    Attributes:
        snapshot: The same as the sweep's measures take it, of one replica without a step.
        loss: The set's loss L[D], eq. (3).
        method: How the gradients were computed, in words.

    Examples:
        >>> import torch
        >>> from gsnr_sweep import gradient_statistics
        >>> model = torch.nn.Linear(3, 1)
        >>> data = torch.randn(50, 3), torch.randn(50, 1)
        >>> stats = gradient_statistics(model, data, torch.nn.MSELoss())
        >>> stats.mean["weight"].shape, stats.n
        (torch.Size([1, 3]), 50)
    """

    snapshot: Snapshot
    loss: float
    method: str

    @property
    def n(self) -> int:
        """Number of samples that count in the loss."""
        return self.snapshot.n

    @cached_property
    def mean(self) -> Mapping[str, Tensor]:
        """Gradient of the loss by parameter name, in the parameter's shape, float64.

        g_j = (1/n) Σ_i g_i,j: the gradient of the user's loss over the whole set.
        """
        return self._by_name(self.snapshot.gradient[0])

    @cached_property
    def variance(self) -> Mapping[str, Tensor]:
        """Variance of the per-sample gradients by parameter name, float64.

        ρ²_j = (1/n) Σ_i (g_i,j − g_j)², or with 1/(n − 1) if ``variance="unbiased"`` was given.
        """
        return self._by_name(self.snapshot.gradient_variance[0])

    @cached_property
    def gsnr(self) -> Mapping[str, Tensor]:
        """GSNR r_j = g_j² / ρ²_j by parameter name, float64 (Liu et al. 2020, eqs. 2 and 25).

        NaN where the gradients do not vary beyond rounding, as behind a dead ReLU: 0/0 is no
        number. The ratio sits on a floor of about 1/n, for E(g_j²) = g̃_j² + ρ²_j/n.
        """
        return self._by_name(self._ratios)

    @property
    def _ratios(self) -> Tensor:
        one = self.snapshot
        ratios: Tensor = (one.gradient.square() / one.gradient_variance)[0]
        return ratios.masked_fill(~one.alive[0], math.nan)

    def osgr(self) -> float:
        """Right side of eq. (19) from this one set: R = 1 − Σ_j ρ²_j / (n Σ_j g_j²).

        The one-step generalization ratio that the gradients predict (Liu et al. 2020). Its error
        needs several sets: see `gsnr_sweep.osgr`. NaN where the gradient is zero.

        Examples:
            >>> import torch
            >>> from gsnr_sweep import gradient_statistics
            >>> model = torch.nn.Linear(1, 1, bias=False)
            >>> _ = torch.nn.init.zeros_(model.weight)
            >>> data = torch.ones(3, 1), torch.tensor([[1.0], [2.0], [3.0]])
            >>> stats = gradient_statistics(model, data, torch.nn.MSELoss())
            >>> stats.mean["weight"].item(), round(stats.variance["weight"].item(), 4)
            (-4.0, 2.6667)
            >>> round(stats.osgr(), 4)
            0.9444
        """
        return osgr_rhs(self.snapshot)["osgr_rhs"]

    def summary(self) -> dict[str, float]:
        """Return the numbers worth a line in a logger, by the names of the sweep's metrics.

        Returns:
            ``train_loss``; ``gsnr_mean``, ``gsnr_median``, ``gsnr_debiased_mean`` over the
            parameters whose gradients vary and ``gsnr_alive_fraction``, the share of these;
            ``gsnr_mean/LAYER``; ``grad_sq_norm`` = Σ_j g_j², ``grad_var_sum`` = Σ_j ρ²_j;
            ``osgr_rhs``.
        """
        values = {name: v for name, v in gsnr(self.snapshot).items() if isinstance(v, float)}
        return {
            "train_loss": self.loss,
            **values,
            "grad_sq_norm": float(self.snapshot.gradient.square().sum()),
            "grad_var_sum": float(self.snapshot.gradient_variance.sum()),
            "osgr_rhs": self.osgr(),
        }

    def by_layer(self) -> pd.DataFrame:
        """Return one row for each module that owns parameters.

        Returns:
            Indexed by ``layer``: ``parameters``, their number; ``alive_fraction`` of them;
            ``gsnr_mean``, ``gsnr_median`` over these; ``grad_sq_norm`` = Σ_j g_j²;
            ``grad_var_sum`` = Σ_j ρ²_j; ``loss_share`` and ``gap_share``, the layer's shares in
            these two sums: in the loss's decrease and in 1 − R (eq. 22).
        """
        import pandas as pd

        one, ratios = self.snapshot, self._ratios
        squares, variance = one.gradient[0].square(), one.gradient_variance[0]
        rows = {}
        for layer, place in one.layers.items():
            r = ratios[place]
            r = r[~r.isnan()]
            rows[layer] = {
                "parameters": place.stop - place.start,
                "alive_fraction": len(r) / (place.stop - place.start),
                "gsnr_mean": float(r.mean()) if len(r) else math.nan,
                "gsnr_median": float(r.median()) if len(r) else math.nan,
                "grad_sq_norm": float(squares[place].sum()),
                "grad_var_sum": float(variance[place].sum()),
            }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")
        table["loss_share"] = table["grad_sq_norm"] / table["grad_sq_norm"].sum()
        table["gap_share"] = table["grad_var_sum"] / table["grad_var_sum"].sum()
        return table

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each single parameter.

        Returns:
            Columns ``parameter`` (its tensor's name), ``index`` (its place in the flattened
            tensor), ``mean``, ``variance``, ``gsnr``.
        """
        import pandas as pd

        parameters = self.snapshot.parameters
        sizes = [p.stop - p.start for p in parameters]
        codes = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        index = torch.cat([torch.arange(size) for size in sizes])
        columns = {
            "mean": self.snapshot.gradient[0],
            "variance": self.snapshot.gradient_variance[0],
            "gsnr": self._ratios,
        }
        names = pd.Categorical.from_codes(codes.tolist(), pd.Index([p.name for p in parameters]))
        return pd.DataFrame(
            {"parameter": names, "index": index.numpy()}
            | {name: values.cpu().numpy() for name, values in columns.items()}
        )

    def __repr__(self) -> str:
        values = self.summary()
        count = self.snapshot.parameters[-1].stop
        return (
            f"GradientStatistics(n={self.n}, parameters={count}, "
            f"alive={values['gsnr_alive_fraction']:.0%}, gsnr_mean={values['gsnr_mean']:.3g}, "
            f"osgr={values['osgr_rhs']:.4g}, loss={self.loss:.4g}; by {self.method})"
        )

    def _by_name(self, flat: Tensor) -> dict[str, Tensor]:
        parameters: tuple[Parameter, ...] = self.snapshot.parameters
        return {p.name: flat[p.start : p.stop].view(p.shape) for p in parameters}
