"""The machinery that every method shares: rows, oracle, roles, stages, the loop, checkpoints and errors."""
