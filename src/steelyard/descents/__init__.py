"""Descents: functions `(oracle, batch)` that leave a gradient on the parameters; `core.descent.plain` is the first."""
