"""What there is to learn from: labels, and recordings put together."""
