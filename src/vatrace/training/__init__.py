"""Training from a store, and the files of a run."""
