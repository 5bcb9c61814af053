"""The proof of one model at its full size, with its weights and its data: on this machine, or on others by a record."""
