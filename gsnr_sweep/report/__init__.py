"""One HTML page on one or more sweeps: what was run, what came out, what it says of the paper."""

from gsnr_sweep.report.content import Section, section_of
from gsnr_sweep.report.page import render

__all__ = ["Section", "render", "section_of"]
