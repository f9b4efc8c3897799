"""Methods for pictures to verify: embeddings that are compared."""
