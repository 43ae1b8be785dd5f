"""From a run folder to a sealed bundle: one ONNX graph, compared with PyTorch."""
