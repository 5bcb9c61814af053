"""Data sets: reading them in batches of NumPy arrays, and making them.

Values stay bytes until the model's first layer.
"""
