"""What goes in - corpora, benchmarks, rows."""
