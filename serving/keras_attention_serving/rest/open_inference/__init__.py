"""The Open Inference Protocol over HTTP: JSON, and binary tensors behind it."""
