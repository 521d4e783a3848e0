"""Positions: added, rotated, or as biases of scores."""
