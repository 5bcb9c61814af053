"""The version of acz."""

__version__ = "0.1.0"
