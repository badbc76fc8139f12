"""Text prompts: which masks of an image a phrase means."""
