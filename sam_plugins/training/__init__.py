"""Training the small model: samples, simulated prompts, losses, fitting and export."""
