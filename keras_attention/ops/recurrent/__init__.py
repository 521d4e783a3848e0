"""The loop of a recurrent decoder with attention, as one operation with a gradient of its own."""
