"""What a user says in Python: one file a chapter. Each opens what its task needs and calls one function below."""
