"""Memories: the Neural Turing Machine and end-to-end memory networks."""
