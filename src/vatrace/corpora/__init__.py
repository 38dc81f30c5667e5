"""What there is to learn from: a laboratory's recordings with their annotations and splits, and recordings put together."""
