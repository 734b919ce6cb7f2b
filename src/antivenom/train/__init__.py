"""Learn from data: one loop, one file per kind of objective. Its modules need the extra `models`; this file does not."""
