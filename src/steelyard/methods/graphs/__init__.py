"""Methods for nodes of a graph."""
