"""Transformers: encoder, decoder, translator and language model."""
