"""Flash-MNIST: digits that flash up in noise."""
