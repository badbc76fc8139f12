"""Training of text prompts the paper's way: CLIP vectors of mask crops as prompts."""
