"""Attention of many heads."""
