"""Dates as people write them, in twenty locales, to ISO 8601: the demo's corpus and its peer."""
