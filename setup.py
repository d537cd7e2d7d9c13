"""Which packages and compiled kernels there are; pyproject.toml cannot say either.

The configs are at the top of the repository, where people look for them, and in the installed
package, where it finds them. The kernels are told which sources they are compiled from, so that
those of other sources are noticed. They are compiled where there is a C compiler; without one the
network's passes are PyTorch's alone.
"""

import hashlib
from pathlib import Path

from setuptools import Extension, find_namespace_packages, find_packages, setup

kernels = sorted(Path("gsnr_sweep/engine/cpu/kernels").glob("*.[ch]"))
digest = hashlib.sha256(b"".join(path.read_bytes() for path in kernels)).hexdigest()[:16]

setup(
    packages=[
        *find_packages(include=["gsnr_sweep", "gsnr_sweep.*"]),
        "gsnr_sweep.conf",
        *(f"gsnr_sweep.conf.{group}" for group in find_namespace_packages("conf")),
        "hydra_plugins.gsnr_launcher",
    ],
    package_dir={"gsnr_sweep.conf": "conf"},
    ext_modules=[
        Extension(
            "gsnr_sweep.engine.cpu.kernels._lanes",
            sources=[str(path) for path in kernels if path.suffix == ".c"],
            depends=[str(path) for path in kernels if path.suffix == ".h"],
            define_macros=[("SOURCES_DIGEST", f"0x{digest}ULL")],
            # Python adds -fwrapv, with which the kernel of tiny networks takes a third longer.
            extra_compile_args=[
                "-O3",
                "-fno-wrapv",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-Wno-psabi",
            ],
            optional=True,
        )
    ],
)
