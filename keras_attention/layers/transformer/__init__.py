"""Blocks of a Transformer."""
