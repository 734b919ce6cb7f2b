"""Quality scorers: rules and learned models, each with its orientation."""
