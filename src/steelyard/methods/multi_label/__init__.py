"""Methods for examples with several labels each."""
