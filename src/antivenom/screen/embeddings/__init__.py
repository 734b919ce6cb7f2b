"""Find poisons by where a model puts them: detectors on image, text and crop embeddings, without torch."""
