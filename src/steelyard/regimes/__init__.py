"""Named training recipes, one a file: functions that return a `Regime`.

A method may not change the regime, so that "same recipe" in a comparison is true by construction.
"""
