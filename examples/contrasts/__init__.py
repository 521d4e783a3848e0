"""Experiments of a few minutes that show the effects of attention and related mechanisms.

PYTHONPATH=examples python -m contrasts.long_sentences [--seed 1] [--picture FILE]

docs/contrasts.md has their tables and pictures.
"""
