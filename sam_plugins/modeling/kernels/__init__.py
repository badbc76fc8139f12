"""Compiled kernels, for processors that PyTorch's own libraries leave half idle.

From the bottom: `_vectors` writes vector instructions, `_tiles` multiplies one small tile by them
and `_softmax` weighs one query's keys; `_products` multiplies whole matrices by tiles, and
`_elementwise` has what is done to each number. Of these, `_attention` and `_rows` make the two
halves of a ViT's block, with which `vit` runs those of an image encoder, and `_upscaling` makes the
mask decoder's last steps, which `upscaling` runs. `bfloat16` has the same for half precision.
`processor` tells where all this is the fastest.
"""
