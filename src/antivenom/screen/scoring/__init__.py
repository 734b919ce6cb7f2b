"""Scores: what a scorer is, its windows, its names, and the guard against mixing two of them."""
