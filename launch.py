"""Run grid points: ``python launch.py -m n=1000,2000 ch=6,8`` (help: ``--help``)."""

from contextlib import suppress
from pathlib import Path

from gsnr_sweep._startup import leaving_quickly, loading_quickly, search_launch_folder_last
from gsnr_sweep.cli.interrupts import heeding_ctrl_c

if __name__ == "__main__":
    with leaving_quickly(), heeding_ctrl_c():
        with suppress(OSError):  # said later
            search_launch_folder_last()
        with loading_quickly():
            from gsnr_sweep.cli.launch import main
        main(Path(__file__).resolve().parent / "conf", guarded=True)
