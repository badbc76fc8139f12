"""Training of the text tower that ships: ``python -m sam_plugins.training.text_tower``."""
