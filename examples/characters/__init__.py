"""Character language models on the same lines: WaveNet, an LSTM of its size, and n-grams."""
