"""Artefacts and native modules in the hands of other programs, each in an environment of its own, beside the reference."""
