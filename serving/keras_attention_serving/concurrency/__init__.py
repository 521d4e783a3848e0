"""Threads, tasks of an event loop, and cancellation."""
