"""Take it out of the model: one file per cure. Its modules need the extra `models`; this file does not."""
