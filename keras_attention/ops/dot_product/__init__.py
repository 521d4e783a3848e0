"""Dot-product attention: the plain form, and blocks on TensorFlow."""
