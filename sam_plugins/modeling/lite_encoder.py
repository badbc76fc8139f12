"""The small model's image encoder: convolutions, attention at stride 32, maps at four strides."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.configs import LiteConfig
from sam_plugins.modeling.layers import MLPBlock, check_frame

# Stride of the maps with attention: the sides of what is encoded must be multiples of it.
COARSEST_STRIDE = 32


def conv_norm(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """Make a 3 x 3 convolution with batch normalisation.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of what it takes and gives.
    stride : int
        Pixels taken to one pixel given, along each axis.

    Returns
    -------
    nn.Sequential
        Takes (B, in_channels, H, W), gives (B, out_channels, H / stride, W / stride).
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class ResidualBlock(nn.Module):
    """Two convolutions with a residual; starts as the identity.

    Parameters
    ----------
    channels : int
        C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv_norm(channels, channels)
        self.conv2 = conv_norm(channels, channels)
        # The last normalisation's scale.
        nn.init.zeros_(self.conv2.get_parameter("1.weight"))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve twice, add the input, and apply ReLU.

        Parameters
        ----------
        x : Tensor of shape (B, C, H, W)

        Returns
        -------
        Tensor of shape (B, C, H, W)
        """
        return functional.relu(x + self.conv2(functional.relu(self.conv1(x))))


class AttentionBlock(nn.Module):
    """Global attention over a map; a depthwise convolution tells it where things are.

    Parameters
    ----------
    channels : int
        C.
    num_heads : int
        Attention heads.
    """

    def __init__(self, channels: int, num_heads: int = 4) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLPBlock(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend among all pixels, then run the MLP on each; both are added.

        Parameters
        ----------
        x : Tensor of shape (B, C, H, W)

        Returns
        -------
        Tensor of shape (B, C, H, W)
        """
        x = x + self.position(x)
        height, width = x.shape[-2:]
        tokens = x.flatten(2).transpose(1, 2)  # (B, H * W, C)
        qkv = self.qkv(self.norm1(tokens)).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, H * W, d) each
        attended = functional.scaled_dot_product_attention(q, k, v)
        tokens = tokens + self.proj(attended.transpose(1, 2).flatten(2))  # (B, H * W, C)
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).unflatten(2, (height, width))  # (B, C, H, W)


class LiteImageEncoder(nn.Module):
    """Encode a frame into maps at the strides 16 (the image embedding), 8, 4 and 2.

    Parameters
    ----------
    config : LiteConfig
        Widths and depths.
    """

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = config.channels
        n4, n8, n16, n32 = config.blocks
        f8, f4, f2 = config.fine_channels
        dim = config.embed_dim
        self.stem = nn.Sequential(conv_norm(3, c2, stride=2), nn.ReLU())
        self.stage4 = self._stage(c2, c4, n4)
        self.stage8 = self._stage(c4, c8, n8)
        self.stage16 = self._stage(c8, c16, n16)
        self.down32 = nn.Sequential(conv_norm(c16, c32, stride=2), nn.ReLU())
        self.stage32 = nn.Sequential(*[AttentionBlock(c32) for _ in range(n32)])
        self.lateral32 = nn.Conv2d(c32, dim, 1)
        self.lateral16 = nn.Conv2d(c16, dim, 1)
        self.out16 = nn.Sequential(ResidualBlock(dim), nn.Conv2d(dim, dim, 1))
        self.lateral8 = nn.Conv2d(c8, f8, 1)
        self.top8 = nn.Conv2d(dim, f8, 1)
        self.out8 = nn.Sequential(ResidualBlock(f8), nn.Conv2d(f8, f8, 1))
        self.lateral4 = nn.Conv2d(c4, f4, 1)
        self.top4 = nn.Conv2d(f8, f4, 1)
        self.out2 = nn.Conv2d(c2, f2, 1)

    @staticmethod
    def _stage(in_channels: int, out_channels: int, blocks: int) -> nn.Sequential:
        return nn.Sequential(
            conv_norm(in_channels, out_channels, stride=2),
            nn.ReLU(),
            *[ResidualBlock(out_channels) for _ in range(blocks)],
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode frames.

        Parameters
        ----------
        x : Tensor of shape (B, 3, H, W)
            Normalised; H and W are multiples of `COARSEST_STRIDE`.

        Returns
        -------
        tuple of Tensor
            Maps of shape (B, C, H / s, W / s) at the strides s = 16 (the image embedding), 8, 4 and
            2. C is ``embed_dim``, then the ``fine_channels`` of `LiteConfig`.

        Raises
        ------
        ValueError
            If the shape is another one.
        """
        check_frame(x.shape, COARSEST_STRIDE)
        x2 = self.stem(x)
        x4 = self.stage4(x2)
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        x32 = self.stage32(self.down32(x16))
        p16 = self.out16(self.lateral16(x16) + _upsample(self.lateral32(x32), x16))
        p8 = self.out8(self.lateral8(x8) + _upsample(self.top8(p16), x8))
        p4 = self.lateral4(x4) + _upsample(self.top4(p8), x4)
        return p16, p8, p4, self.out2(x2)


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)
