"""Models on TensorFlow's C runtime and in the TensorFlow Lite format."""
