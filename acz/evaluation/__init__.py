"""How good predictions are: figures, scoring, inference, files of predictions, ensembles."""
