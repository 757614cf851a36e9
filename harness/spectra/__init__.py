"""Spectra of updates and of frozen weights."""

from harness.spectra.lora import UpdateSpectrum, lora_spectrum

__all__ = ["UpdateSpectrum", "lora_spectrum"]
