"""What one run does: bases, adapters, GRPO, SFT, evaluation. The only floor, with spectra, that imports torch.

Nothing above imports this floor; executors start `python -m harness.train JOB_DIR`, or `--serve` for many.
"""
