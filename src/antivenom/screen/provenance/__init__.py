"""Where a row comes from and when it was written; what a slice of a corpus looks like."""
