"""Recurrent encoders, decoders and models; the attention cell."""
