"""ONNX graphs, run by ONNX Runtime, or by plain arithmetic where they are linear."""
