"""The quality of predictions: figures and scoring; and predictions themselves: inference, their files, ensembles."""
