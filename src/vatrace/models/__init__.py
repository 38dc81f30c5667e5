"""The networks, in PyTorch, for training; at use they run from ONNX files."""
