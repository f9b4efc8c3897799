"""Methods for point clouds only."""
