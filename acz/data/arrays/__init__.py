"""Folders of examples made of anybody's arrays: features, labels and names, from files or from memory."""
