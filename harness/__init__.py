"""rlvr-harness: a laboratory bench for claims about RLVR and parameter-efficient fine-tuning.

A claim is declared as a falsifiable hypothesis; the bench works out the smallest set of runs that can decide it,
runs them, keeps what they produced, and returns a verdict with effect sizes. The folders are the floors of the
house, lowest first: spec, source, record, plan, then execute, store, decide, spectra and train side by side, and
above them campaign, publish and cli. A floor imports only the floors below it.
"""

__version__ = "0.1.0"
