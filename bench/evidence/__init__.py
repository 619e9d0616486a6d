"""What docs/results/evidence.md claims, measured: `python -m bench.evidence.NAME` prints a table each."""
