"""The masked autoencoder: a ViT sees a quarter of the patches, a light decoder the others' places.

Written after arXiv 2111.06377; the weights have the names of the files that were released with it,
which `sam_plugins.checkpoints.load_image_encoder` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from sam_plugins.modeling.configs import CONFIGS, ViTConfig
from sam_plugins.modeling.image_encoder import LAYER_NORM_EPS
from sam_plugins.training.mae.blocks import Block, PatchEmbed
from sam_plugins.training.mae.patches import patches_of, positions, reconstruction_loss

# Of the tokens that are learned, at the beginning (as BERT's, arXiv 1810.04805, and its code).
TOKEN_STD = 0.02


@dataclass(frozen=True)
class MaskedAutoencoderConfig:
    """What a masked autoencoder is made of. Numbers are arXiv 2111.06377's.

    Parameters
    ----------
    embed_dim : int
        Width of the encoder's tokens.
    depth : int
        Blocks of the encoder.
    num_heads : int
        Attention heads of its blocks.
    image_size : int
        Side of the square images, in pixels (§4: 224).
    patch_size : int
        Pixels to a token along each axis. SAM's is 16 for all sizes; the ViT-H that was released
        with the paper has 14.
    mlp_ratio : float
        Hidden width of a block's MLP, in multiples of the tokens' width.
    mask_ratio : float
        Share of the patches that the encoder does not see (§4.1: 0.75).
    decoder_dim : int
        Width of the decoder's tokens (table 1b: 512).
    decoder_depth : int
        Blocks of the decoder (table 1a: 8).
    decoder_heads : int
        Attention heads of its blocks (the released models: 16).

    Raises
    ------
    ValueError
        If the numbers do not fit each other.
    """

    embed_dim: int
    depth: int
    num_heads: int
    image_size: int = 224
    patch_size: int = 16
    mlp_ratio: float = 4.0
    mask_ratio: float = 0.75
    decoder_dim: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16

    def __post_init__(self) -> None:
        if self.image_size < self.patch_size or self.image_size % self.patch_size:
            raise ValueError(
                f"image_size must be a multiple of {self.patch_size}, got {self.image_size}"
            )
        for width, heads in (
            (self.embed_dim, self.num_heads),
            (self.decoder_dim, self.decoder_heads),
        ):
            if width % heads or width % 4:
                raise ValueError(f"a width must be a multiple of 4 and of {heads}, got {width}")
        if not 1 <= self.visible < self.patches:
            raise ValueError(
                f"mask_ratio must leave some of {self.patches} patches visible and some masked, "
                f"got {self.mask_ratio}"
            )

    @classmethod
    def of(cls, encoder: ViTConfig, *, image_size: int = 224) -> MaskedAutoencoderConfig:
        """Give the autoencoder by which an encoder of SAM is pre-trained.

        Parameters
        ----------
        encoder : ViTConfig
            SAM's image encoder. Windows and relative positions come only afterwards.
        image_size : int
            Side of the square images, in pixels.

        Returns
        -------
        MaskedAutoencoderConfig
            With the paper's decoder.
        """
        return cls(
            encoder.embed_dim,
            encoder.depth,
            encoder.num_heads,
            image_size=image_size,
            patch_size=encoder.patch_size,
            mlp_ratio=encoder.mlp_ratio,
        )

    @property
    def grid(self) -> int:
        """Patches along each side."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Patches of an image."""
        return self.grid**2

    @property
    def visible(self) -> int:
        """Patches that the encoder sees."""
        return int(self.patches * (1 - self.mask_ratio))


# By the names of SAM's encoders.
SIZES: Mapping[str, MaskedAutoencoderConfig] = MappingProxyType(
    {
        name: MaskedAutoencoderConfig.of(config.encoder)
        for name, config in CONFIGS.items()
        if isinstance(config.encoder, ViTConfig)
    }
)


class MaskedAutoencoder(nn.Module):
    """Predict the pixels of masked patches from the others.

    Parameters
    ----------
    config : MaskedAutoencoderConfig
        Widths and depths.
    """

    def __init__(self, config: MaskedAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        width, narrow = config.embed_dim, config.decoder_dim
        self.patch_embed = PatchEmbed(config.patch_size, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = _fixed(positions(config.grid, width))
        self.blocks = nn.ModuleList(
            Block(width, config.num_heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.decoder_embed = nn.Linear(width, narrow)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, narrow))
        self.decoder_pos_embed = _fixed(positions(config.grid, narrow))
        self.decoder_blocks = nn.ModuleList(
            Block(narrow, config.decoder_heads, config.mlp_ratio)
            for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(narrow, eps=LAYER_NORM_EPS)
        self.decoder_pred = nn.Linear(narrow, 3 * config.patch_size**2)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier's uniform weights, as §A.1 says, biases zero; tokens small."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        # A kernel is a linear layer over a patch.
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.data.flatten(1))
        nn.init.normal_(self.cls_token, std=TOKEN_STD)
        nn.init.normal_(self.mask_token, std=TOKEN_STD)

    def encode(self, images: Tensor, masked: Tensor) -> Tensor:
        """Encode the patches that are not masked.

        Parameters
        ----------
        images : Tensor of shape (B, 3, S, S), float
            Normalised.
        masked : Tensor of shape (B, L), bool
            Which of the patches, row by row, are not seen; equally many of each image.

        Returns
        -------
        Tensor of shape (B, 1 + V, embed_dim)
            The class token, and the V visible patches in their order.
        """
        tokens = self.patch_embed(images) + self.pos_embed[:, 1:]  # (B, L, D)
        tokens = tokens[~masked].view(len(images), -1, tokens.shape[-1])  # (B, V, D)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        tokens = torch.cat([first.to(tokens.dtype), tokens], dim=1)  # (B, 1 + V, D)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def decode(self, tokens: Tensor, masked: Tensor) -> Tensor:
        """Predict the pixels of all patches.

        Parameters
        ----------
        tokens : Tensor of shape (B, 1 + V, embed_dim)
            From `encode`.
        masked : Tensor of shape (B, L), bool
            As for `encode`.

        Returns
        -------
        Tensor of shape (B, L, 3 * patch_size ** 2)
            See `patches_of` for the order.
        """
        tokens = self.decoder_embed(tokens)  # (B, 1 + V, d)
        places = self.mask_token.to(tokens.dtype).expand(*masked.shape, -1)  # (B, L, d)
        # Row by row, which is also the order of the visible tokens.
        places = places.masked_scatter(~masked[..., None], tokens[:, 1:])  # (B, L, d)
        tokens = torch.cat([tokens[:, :1], places], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_pred(self.decoder_norm(tokens))[:, 1:]

    def forward(self, images: Tensor, masked: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        images : Tensor of shape (B, 3, S, S), float
            Normalised.
        masked : Tensor of shape (B, L), bool
            From `random_masks`.

        Returns
        -------
        Tensor of shape (), float32
            See `reconstruction_loss`.

        Raises
        ------
        ValueError
            If the images are of another size.
        """
        side = self.config.image_size
        if images.shape[1:] != (3, side, side):
            raise ValueError(
                f"images must be of shape (B, 3, {side}, {side}), got {tuple(images.shape)}"
            )
        predicted = self.decode(self.encode(images, masked), masked)  # (B, L, 3 * p * p)
        patches = patches_of(images, self.config.patch_size)  # (B, L, 3 * p * p)
        return reconstruction_loss(predicted, patches, masked)


def _fixed(values: Tensor) -> nn.Parameter:
    # A parameter, so that it stands in the file, but not a learned one.
    return nn.Parameter(values, requires_grad=False)
