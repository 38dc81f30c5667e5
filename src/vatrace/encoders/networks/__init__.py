"""The networks of the encoders in PyTorch: for training them, and for weights that users bring."""
