"""Models and their versions: aspired, loaded, warmed up and in use."""
