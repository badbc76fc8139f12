"""An image encoder with 8-bit weights: on a CPU twice as many products a second as in bfloat16.

Weights are quantised once, each output channel by itself; activations as they come, with one scale
for all tokens that are multiplied at once (a stripe of the grid, see `cpu.by_stripes`). All that is
not a large matrix product stays as it was.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from sam_plugins.modeling.cpu import runs_eagerly_on_cpu
from sam_plugins.modeling.image_encoder import ImageEncoderViT

# Levels of an unsigned byte, less one that rounding the zero point may take.
LEVELS = 254
LARGEST = 127
# What a processor calls the instructions that multiply bytes and add in 32 bits.
VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")


@cache
def has_int8() -> bool:
    """Tell whether this machine multiplies bytes exactly (VNNI), and its PyTorch by oneDNN.

    Returns
    -------
    bool

    Notes
    -----
    Older processors add two products in 16 bits, where they may overflow.
    """
    # Older torch does not tell; then not.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return (
        torch.backends.mkldnn.is_available()
        and any(capabilities.get(each) for each in VNNI)
        and hasattr(torch.ops.onednn, "qlinear_pointwise")
    )


def quantized(encoder: nn.Module) -> ImageEncoderViT:
    """Copy an image encoder, with the matrices of its blocks in 8 bits.

    Parameters
    ----------
    encoder : ImageEncoderViT
        On a CPU. What is not quantised is shared with it.

    Returns
    -------
    ImageEncoderViT
        For inference alone.

    Raises
    ------
    ValueError
        If this machine multiplies no bytes (see `has_int8`), or the encoder is no ViT: smaller
        ones, whose matrices are small, would gain nothing.
    """
    if not isinstance(encoder, ImageEncoderViT):
        raise ValueError("the precision 'int8' is for vit_b, vit_l and vit_h: use 'auto'")
    if not has_int8():
        raise ValueError("the precision 'int8' needs a processor with VNNI: use 'auto'")
    kept = {id(each): each for each in encoder.parameters()}
    twin = copy.deepcopy(encoder, kept)  # parameters stay the same objects
    block: Any
    for block in twin.blocks:
        attention, mlp = block.attn, block.mlp
        attention.qkv, attention.proj = Int8Linear(attention.qkv), Int8Linear(attention.proj)
        block.mlp = nn.Sequential(Int8Linear(mlp.lin1, gelu=True), Int8Linear(mlp.lin2))
    return twin.eval()


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights.

    Parameters
    ----------
    layer : nn.Linear
        Whose weights are quantised: to -127 .. 127, with a scale for each output channel.
    gelu : bool
        Whether GELU follows, which costs next to nothing within the multiplication.
    """

    scales: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Linear, *, gelu: bool = False) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        scales = (weight.abs().amax(1) / LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
        rounded = (weight / scales[:, None]).round().to(torch.int8)  # (out, in)
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self.activation = "gelu" if gelu else "none"
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int64))
        self.register_buffer("bias", layer.bias.detach().float().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Quantise, multiply, add the bias, in bfloat16 under autocast.

        Parameters
        ----------
        x : Tensor of shape (..., in)

        Returns
        -------
        Tensor of shape (..., out)
        """
        if not runs_eagerly_on_cpu(x):
            raise RuntimeError("an encoder in int8 can be run on a CPU, without gradients, only")
        if x.dim() > 3:
            # An image's scale must not depend on the others of its batch.
            return torch.stack([self(image) for image in x])
        half = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if half else torch.float32
        bytes_, scale, zero = _to_bytes(x.flatten(0, -2))
        out = torch.ops.onednn.qlinear_pointwise(
            *(bytes_, scale, zero),
            *(self.packed, self.scales, self.zeros, self.bias),
            *(1.0, 0, dtype),  # of the result: not quantised
            *(self.activation, [], "none"),
        )
        return out.unflatten(0, x.shape[:-1])


def _to_bytes(x: Tensor) -> tuple[Tensor, float, int]:
    """Values (N, in) as unsigned bytes (N, in), with their scale and what stands for zero."""
    low, high = (float(each) for each in torch.aminmax(x))
    # Zero is among them, so that it can be told exactly.
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / LEVELS, torch.finfo(torch.float32).tiny)
    zero = round(-low / scale)
    # The conversion cuts off: a half more rounds.
    shifted = torch.add(torch.tensor(zero + 0.5), x.float(), alpha=1 / scale)
    return shifted.to(torch.uint8), scale, zero
