"""Measuring models on images with true masks."""
