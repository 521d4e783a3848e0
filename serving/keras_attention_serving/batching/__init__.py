"""Requests that arrive together and run together."""
