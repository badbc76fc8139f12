"""The same for bfloat16, on processors that multiply matrices of it by tiles (AMX)."""
