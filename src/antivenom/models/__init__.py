"""What learns or judges - loaders and clients."""
