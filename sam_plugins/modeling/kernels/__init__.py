"""Compiled kernels for a ViT, on processors that PyTorch's own libraries leave half idle.

From the bottom: `_tiles` multiplies one small tile by vector instructions, `_products` whole
matrices by tiles, `_elementwise` has what is done to each number, `_attention` and `_rows` are the
two halves of a block, and `vit` runs blocks of an image encoder with them, on as many threads as
PyTorch uses.
"""
