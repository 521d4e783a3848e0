"""Monthly car sales forecast with attention, without, and as they were a year ago."""
