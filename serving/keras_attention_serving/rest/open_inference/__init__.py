"""The Open Inference Protocol over HTTP: JSON, followed by binary tensors."""
