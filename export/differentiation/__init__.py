"""Reverse-mode differentiation of ONNX graphs; README.md in this folder explains how it works."""
