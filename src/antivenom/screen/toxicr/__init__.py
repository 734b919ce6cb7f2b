"""ToxiCR: toxic code-review comments, the trainable tool of Sarker et al. (arXiv 2202.13056)."""
