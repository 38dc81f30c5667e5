"""The networks in PyTorch, for training; prediction runs their ONNX files."""
