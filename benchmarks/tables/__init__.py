"""Classifiers for imbalanced tables side by side: the same splits, the same tuning budget, every score of each.

Run it from the root of the repository; a run that was stopped goes on where it was::

    python -m benchmarks.tables --data FOLDER [--splits 3] [--first 1] [--trials 3] [--jobs 2] [--out benchmarks/results/tables]
"""
