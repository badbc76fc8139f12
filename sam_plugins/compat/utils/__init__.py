"""Helpers of the reference that scripts import by themselves."""
