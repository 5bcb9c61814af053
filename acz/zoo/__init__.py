"""The zoo: configurations of models, data and recipes, and where their files lie."""
