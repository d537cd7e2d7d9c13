"""Which packages are installed; pyproject.toml cannot say it, since conf/ lies beside them.

The configs are at the top of the repository, where people look for them, and in the installed
package, where it finds them.
"""

from setuptools import find_namespace_packages, find_packages, setup

setup(
    packages=[
        *find_packages(include=["gsnr_sweep", "gsnr_sweep.*"]),
        "gsnr_sweep.conf",
        *(f"gsnr_sweep.conf.{group}" for group in find_namespace_packages("conf")),
        "hydra_plugins.gsnr_launcher",
    ],
    package_dir={"gsnr_sweep.conf": "conf"},
)
