"""Training of networks: batches, losses, sizes by rule and the training loop."""
