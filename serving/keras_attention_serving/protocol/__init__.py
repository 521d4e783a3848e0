"""Messages of TensorFlow Serving, tensors and text files, without TensorFlow."""
