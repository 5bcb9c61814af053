"""The Python API: one file a chapter. Each function opens everything that its task needs, and calls one function below."""
