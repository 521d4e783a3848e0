"""Blocks of convolutional sequence models: ByteNet, ConvS2S, WaveNet."""
