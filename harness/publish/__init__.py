"""How results are shown: terminal, LaTeX, progress. Digits are chosen here and nowhere else."""
