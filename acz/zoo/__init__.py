"""The zoo: configurations of models, data and recipes, and their files."""
