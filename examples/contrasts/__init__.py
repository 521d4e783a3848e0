"""Classic contrasts: what attention and its relatives are for, each shown by a program of minutes.

PYTHONPATH=examples python -m contrasts.long_sentences [--seed 1] [--picture FILE]

docs/contrasts.md holds what they print and draw.
"""
