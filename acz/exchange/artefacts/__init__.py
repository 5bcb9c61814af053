"""Artefacts: models written for a runtime, verified there, and served."""
