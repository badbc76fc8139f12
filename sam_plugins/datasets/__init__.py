"""Data that this project makes itself."""
