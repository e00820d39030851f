"""The benchmarks behind scripts/bench.py, one file for each kind of work."""
