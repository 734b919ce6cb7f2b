"""Retrieval: for every benchmark item the k best rows of the whole corpus, by streaming passes in bounded memory."""
