"""Benchmarks: this project beside its peers, in one run, on the same weights and images."""
