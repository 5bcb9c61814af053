"""Readers and makers of data: batches of NumPy arrays, bytes until the model's first layer."""
