"""The `keras-attention` command, which imports Keras and TensorFlow where they are used alone.

It stands beside the library, since `import keras_attention` imports Keras: help, a wrong option and
a question to a server need neither.
"""
