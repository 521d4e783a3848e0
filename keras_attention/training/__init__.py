"""Training and evaluation of text-to-text models, as `keras-attention train` runs them."""
