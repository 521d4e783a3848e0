"""A Neural Turing Machine learns to copy, and to recall what followed an item."""
