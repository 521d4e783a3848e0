"""Character by character: WaveNet, an LSTM of its size, and n-grams on the same lines."""
