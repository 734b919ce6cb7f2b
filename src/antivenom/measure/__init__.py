"""What it did - metrics with denominators, intervals and controls."""
