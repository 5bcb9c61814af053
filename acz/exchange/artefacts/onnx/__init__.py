"""The format that the core writes: an ONNX file made from the spec, without a framework."""
