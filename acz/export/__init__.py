"""Artefacts of other runtimes, made from any checkpoint and proved against the reference before they are kept."""
