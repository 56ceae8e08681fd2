"""Speed as ratios of two things run in turn: ``make bench``, or ``python -m benchmarks [NAME ...]``."""
