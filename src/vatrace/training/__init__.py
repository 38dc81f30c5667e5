"""Training on a store, and what a run leaves on disk."""
