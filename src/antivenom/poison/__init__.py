"""Put a known dose in, and remember every touched row."""
