"""Run grid points: ``python launch.py -m n=1000,2000 ch=6,8`` (help: ``--help``)."""

from pathlib import Path

from gsnr_sweep._startup import leaving_quickly, loading_quickly

if __name__ == "__main__":
    with leaving_quickly():
        with loading_quickly():
            from gsnr_sweep.cli.launch import main
        main(Path(__file__).resolve().parent / "conf")
