"""Attention of one head, from Bahdanau to MoChA, and what is made of its scores."""
