"""What a language model learned: likelihoods, choices, membership, extraction, forgetting - and the marks that data left."""
