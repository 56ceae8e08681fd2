"""Speed as ratios of two things run in turn: ``make bench``, or ``python -m benchmarks [NAME ...]``.

``pairs`` runs two things in turn, ``results`` keeps and shows what came of it, ``workload`` makes the texts and the
model; each other module compares something and has ``benchmarks()``, which yields the figures.
"""
