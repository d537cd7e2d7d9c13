"""Run grid points: ``python launch.py -m n=1000,2000 ch=6,8`` (help: ``--help``)."""

from pathlib import Path

from gsnr_sweep.cli import main
from gsnr_sweep.leaving import leaving_quickly

if __name__ == "__main__":
    with leaving_quickly():
        main(Path(__file__).resolve().parent / "conf")
