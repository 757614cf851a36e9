"""Spectra of updates and of frozen weights."""

from harness.spectra.lora import LowRank
from harness.spectra.spectrum import TOP, Kernel, Source, Spectrum
from harness.spectra.update import Update

__all__ = ["TOP", "Kernel", "LowRank", "Source", "Spectrum", "Update"]
