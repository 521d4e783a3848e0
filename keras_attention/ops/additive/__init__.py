"""The additive score, in the form that is fastest on each backend."""
