"""Compiled kernels for bfloat16, on processors that multiply matrices of it by tiles (AMX).

`_blocks` multiplies one block by tiles; `_numbers` rounds to bfloat16 and puts weights in the order
of the tiles; `_outputs` is what becomes of a block. The other files have the names and the parts of
those for float32.
"""
