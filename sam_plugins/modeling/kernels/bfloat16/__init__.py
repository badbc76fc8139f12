"""Compiled kernels for bfloat16, on processors that multiply it by tiles (AMX) or by AMD's vectors.

`_blocks` multiplies one block, by `_tiles` or by `_pairs`; `_numbers` rounds to bfloat16 and puts
weights in the order in which blocks are multiplied; `_outputs` is what becomes of a block. The
other files have the names and the parts of those for float32.
"""
