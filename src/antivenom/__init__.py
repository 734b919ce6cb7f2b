"""antivenom: see what bad training data does to a model, and take it back out."""

__version__ = "0.1.0"
