"""Named training recipes, one a file: functions that return a `Regime`.

A method may not change the regime, so that "same recipe" in a comparison is true by construction.
"""

SEARCH = {"lr": "log(0.1x..10x)", "weight_decay": "log(0.1x..10x)", "batch_size": "0.5x|1x|2x"}
"""What `steelyard tune` tries of every regime, as multiples of its own settings; a regime's file may say more or otherwise."""
