"""Toxicity scorers: a higher score is worse."""
