"""Dose, response, antidote - one file per paper."""
