"""Small float64 networks with given training sets, for measures that look at replicas."""

import copy
from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.validation import problems
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.losses.loss import CROSS_ENTROPY
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.training.snapshot import Snapshot
from tests.conftest import typed_config

CPU = torch.device("cpu")
CLASSES, INPUTS = 4, 3


def config_of(*overrides: str) -> Config:
    """The config of a tiny ensemble in float64; of its data and model only the sizes matter."""
    tiny = ["n=7", "n_sets=2", "n_test=5", "epochs=0", "measure_at=[0]", "lr=0.1", "dtype=float64"]
    cfg = typed_config(*tiny, "threads=1", *overrides)
    assert problems(cfg) == []
    return cfg


def sets_of(cfg: Config, shape: tuple[int, ...] = (INPUTS,), regression: int = 0) -> RunSets:
    """Training sets and a test set of noise: `CLASSES` classes, or that many targets."""

    def draw(n: int, seed: int) -> Samples:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
        if regression:
            y = torch.randn(n, regression, generator=generator, dtype=torch.float64)
            return Samples(x, y + x.flatten(1)[:, :1])
        return Samples(x, torch.randint(0, CLASSES, (n,), generator=generator))

    return RunSets([draw(cfg.n, 10 + m) for m in range(cfg.n_sets)], draw(cfg.n_test, 99))


def mlp(*widths: int, outputs: int = CLASSES) -> nn.Sequential:
    """Layers fc1, relu1, fc2, …; without widths one hidden layer of 8."""
    torch.manual_seed(0)
    sizes = [INPUTS, *(widths or (8,)), outputs]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number in range(1, len(sizes)):
        layers[f"fc{number}"] = nn.Linear(sizes[number - 1], sizes[number])
        if number < len(sizes) - 1:
            layers[f"relu{number}"] = nn.ReLU()
    return nn.Sequential(layers).double()


def cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    return CROSS_ENTROPY(outputs, y)


def plain_and_watched(wanted: Requirements) -> Iterator[tuple[Snapshot, Snapshot]]:
    """The measured steps of one training, not watched and watched for what measures want."""
    cfg = config_of("epochs=3", "measure_at=[0,1,3]")
    sets, model = sets_of(cfg), mlp()
    plain, watched = (
        Ensemble(copy.deepcopy(model), sets, "classification", cfg.training, CPU).run(wanted=what)
        for what in (None, wanted)
    )
    return zip(plain, watched, strict=True)
