"""Methods for few-shot episodes: one learner a file."""
