"""A model as data: its spec, layers, losses, optimiser, parameters and checkpoint file."""
