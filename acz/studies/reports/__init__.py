"""Pictures of models, data and runs."""
