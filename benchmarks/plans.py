"""How much is measured: the whole, and the quick form that only shows that it works."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.workloads import Workload


@dataclass(frozen=True)
class Plan:
    """Sizes of everything.

    Attributes:
        quick: Whether this only shows that the benchmarks work.
        rounds: Turns of each contender.
        peak: Sizes and repeats of the matrix products.
        steps: Training workloads with the epochs of one turn.
        chunks: Chunk sizes that peers may choose from, beside the whole set.
        sample_chunks: The same where per-sample gradients are held.
        compiled_chunks: The same where each costs a compilation; empty for no compiling.
        sgd: Workloads of mini-batch training with the epochs of one turn.
        sgd_rounds: Turns of these.
        normalization: Workloads whose sets are normalized as a whole, with limits of memory.
        moments: Workloads of the moments.
        api: Workloads of the Python interface, of one set each.
        api_chunks: Chunk sizes that peers may choose from there.
        api_rounds: Turns of these.
        point: Overrides of the whole grid point, with the rounds.
        point_rounds: Turns of the whole grid point.
        sweep: The axes of a whole sweep, by key.
        sweep_fixed: What all its runs have in common, by key.
        sweep_rounds: Turns of the sweep.
        workers: Numbers of workers for it; the first is what others are compared with.
        tiny_runs: Runs for the overhead.
        launchers: Launchers whose overhead is measured.
        planning: Grid to plan and runs to aggregate.
        growth_base: The run that one thing of is varied.
        growth: Values by key, with what changes of the base for this key.
        growth_rounds: Turns of each.
        largest: The run whose memory is compared with the plan's.
        gpu_peak: Sizes and repeats of a GPU's matrix products.
        gpu_steps: Training workloads of a GPU with the epochs of one turn.
        gpu_workers: Numbers of workers that share a GPU.
        main_job: Overrides of the README's command.
        start_rounds: Turns of what is timed until something is computed.
    """

    quick: bool
    rounds: int
    peak: tuple[tuple[int, ...], int]
    steps: tuple[tuple[Workload, int], ...]
    chunks: tuple[int, ...]
    sample_chunks: tuple[int, ...]
    compiled_chunks: tuple[int, ...]
    sgd: tuple[tuple[Workload, int], ...]
    sgd_rounds: int
    normalization: tuple[tuple[Workload, tuple[str, ...]], ...]
    moments: tuple[Workload, ...]
    api: tuple[Workload, ...]
    api_chunks: tuple[int, ...]
    api_rounds: int
    point: dict[str, str]
    point_rounds: int
    sweep: dict[str, str]
    sweep_fixed: dict[str, str]
    sweep_rounds: int
    workers: tuple[int, ...]
    tiny_runs: int
    launchers: tuple[str, ...]
    planning: tuple[tuple[str, ...], int]
    growth_base: dict[str, str]
    growth: dict[str, tuple[tuple[int, ...], dict[str, str]]]
    growth_rounds: int
    largest: dict[str, str]
    gpu_peak: tuple[tuple[int, ...], int]
    gpu_steps: tuple[tuple[Workload, int], ...]
    gpu_workers: tuple[int, ...]
    main_job: tuple[str, ...]
    start_rounds: int


def full(passes: int) -> Plan:
    """Return the plan behind ``docs/performance.md``.

    Args:
        passes: Sets of the moments' workloads: as many as there are cores.
    """
    return Plan(
        quick=False,
        rounds=3,
        peak=((1024, 1536, 2048), 20),
        steps=(
            (Workload("table2_cnn", 6, 1000, 10), 2),
            (Workload("table2_cnn", 12, 1000, 10), 1),
            (Workload("table2_cnn", 20, 1000, 10), 1),
            (Workload("table3_cnn", 6, 1000, 10), 1),
            (Workload("table3_cnn", 12, 1000, 10), 1),
            (Workload("toy_mlp", 6, 1000, 100), 60),
            (Workload("toy_mlp", 20, 1000, 100), 60),
            (Workload("toy_mlp", 20, 6000, 100), 30),
        ),
        chunks=(64, 125, 250, 500),
        sample_chunks=(16, 64, 250),
        compiled_chunks=(250,),
        sgd=(
            *((Workload("perceptron", ch, 2000, 1), 1) for ch in (16, 64, 256, 1024, 4096)),
            *((Workload("perceptron", ch, 2000, 10), 1) for ch in (8, 16, 64, 256, 1024)),
            (Workload("mlp", 512, 1000, 10), 1),
            (Workload("vgg", 16, 512, 1), 1),
            (Workload("vgg_bn", 16, 512, 1), 1),
        ),
        sgd_rounds=5,
        normalization=(
            (Workload("table3_cnn", 6, 4000, 1), ("1GB",)),
            (Workload("table3_cnn", 6, 15000, 1), ("1GB", "3GB")),
            (Workload("resnet18", 8, 1500, 1), ("1GB",)),
            (Workload("resnet18", 8, 4000, 1), ("1GB", "2GB")),
        ),
        moments=(
            Workload("table2_cnn", 6, 1000, passes),
            Workload("table2_cnn", 20, 1000, passes),
            Workload("table3_cnn", 6, 500, passes),
            Workload("mlp", 512, 1000, passes),
            Workload("resnet18", 64, 32, passes),
        ),
        api=(
            Workload("mlp", 512, 128, 1),
            Workload("table2_cnn", 6, 1000, 1),
            Workload("resnet18", 16, 16, 1),
            Workload("attention", 64, 128, 1),
            Workload("encoder", 64, 128, 1),
            Workload("lstm", 64, 128, 1),
        ),
        api_chunks=(16, 128),
        api_rounds=5,
        point={"n": "1000", "ch": "6"},
        point_rounds=3,
        sweep={"n": "500,1000", "ch": "6,8", "seed": "0,1"},
        sweep_fixed={"epochs": "20", "measure_at": "[0,20]"},
        sweep_rounds=2,
        workers=(2, 1),
        tiny_runs=32,
        launchers=("gsnr-sweep local", "hydra basic", "hydra joblib", "submitit plug-in"),
        planning=(
            ("n=range(100,5100,100)", "ch=2,3,4,5,6,7,8,9", "p_random=0,0.1,0.2,0.3,0.4"),
            300,
        ),
        growth_base={
            "n": "2000",
            "ch": "6",
            "n_sets": "4",
            "n_test": "2000",
            "epochs": "5",
            "measure_at": "[5]",
        },
        growth={
            "n": ((1000, 2000, 4000, 8000, 15000), {}),
            "ch": ((6, 10, 14, 20), {}),
            "n_sets": ((2, 4, 8, 16), {}),
            "epochs": ((10, 20, 40, 80), {"n": "1000", "n_sets": "2"}),
        },
        growth_rounds=2,
        largest={"n": "15000", "ch": "20", "n_sets": "10", "epochs": "3", "measure_at": "[1]"},
        gpu_peak=((2048, 4096, 8192), 20),
        gpu_steps=(
            *(
                (Workload("table2_cnn", ch, n, 10), 20)
                for n in (1000, 6000, 15000)
                for ch in (6, 12, 20)
            ),
            *((Workload("table3_cnn", ch, 6000, 10), 5) for ch in (6, 12)),
            (Workload("mlp", 512, 6000, 10), 20),
            (Workload("resnet18", 64, 2000, 2), 2),
            (Workload("vgg", 64, 5000, 2), 2),
        ),
        gpu_workers=(1, 2, 4),
        main_job=("n=1000,2000", "ch=6,8"),
        start_rounds=8,
    )


def quick(passes: int) -> Plan:
    """Return a plan that goes through everything in a minute on two cores.

    Args:
        passes: Sets of the moments' workloads.
    """
    small = {"n_sets": "2", "n_test": "100"}
    return Plan(
        quick=True,
        rounds=2,
        peak=((512,), 5),
        steps=((Workload("table2_cnn", 2, 64, 2), 1),),
        chunks=(32,),
        sample_chunks=(16,),
        compiled_chunks=(),
        sgd=((Workload("perceptron", 4, 128, 2), 1),),
        sgd_rounds=2,
        normalization=((Workload("table3_cnn", 2, 200, 1), ("10MB",)),),
        moments=(Workload("table3_cnn", 2, 32, passes),),
        api=(Workload("attention", 8, 20, 1),),
        api_chunks=(16,),
        api_rounds=2,
        point={"n": "100", "ch": "2", "epochs": "3", "measure_at": "[1,3]", **small},
        point_rounds=1,
        sweep={"n": "50,100"},
        sweep_fixed={"ch": "2", "epochs": "2", "measure_at": "[0,2]", **small},
        sweep_rounds=1,
        workers=(2,),
        tiny_runs=4,
        launchers=(),
        planning=(("n=range(100,500,100)", "ch=2,3"), 4),
        growth_base={"n": "200", "ch": "2", "epochs": "2", "measure_at": "[2]", **small},
        growth={
            "n": ((100, 400), {}),
            "epochs": ((2, 8), {}),
        },
        growth_rounds=1,
        largest={"n": "400", "ch": "2", "epochs": "2", "measure_at": "[1]", **small},
        gpu_peak=((256,), 2),
        gpu_steps=((Workload("table2_cnn", 2, 64, 2), 1), (Workload("vgg_bn", 2, 40, 2), 1)),
        gpu_workers=(1,),
        main_job=("n=50,100", "ch=2", "epochs=2", "measure_at=[1]", "n_sets=2", "n_test=100"),
        start_rounds=1,
    )
