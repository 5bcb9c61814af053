"""The levels of parity, one a file."""

LEVELS = {1: "outputs", 2: "gradients", 3: "training", 4: "checkpoints", 5: "exports"}
