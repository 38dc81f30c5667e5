"""The encoders' networks in PyTorch, for training, and for users' own weights."""
