"""The mask decoder: from the image embedding and a prompt's tokens to masks and their quality.

Paper, §A ("Lightweight mask decoder", "Making the model ambiguity-aware").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.cpu import linear, runs_eagerly_on_cpu
from sam_plugins.modeling.image_side import ImageSide
from sam_plugins.modeling.image_tokens import ImageTokens, in_rows
from sam_plugins.modeling.kernels import upscaling as compiled
from sam_plugins.modeling.kernels.activations import own_gelu
from sam_plugins.modeling.kernels.bfloat16 import two_way
from sam_plugins.modeling.kernels.bfloat16 import upscaling as compiled_bfloat16
from sam_plugins.modeling.layers import MLP, LayerNorm2d
from sam_plugins.modeling.two_way_transformer import TwoWayTransformer, few, is_plain

# Prompts that go through the kernels at once: 17 MB of image tokens.
PROMPTS = 8


class MaskDecoder(nn.Module):
    """Predict masks by a dynamic head: a small network makes each mask's linear classifier.

    Parameters
    ----------
    transformer_dim : int
        Width of the tokens, C.
    transformer : TwoWayTransformer
        The transformer.
    num_multimask_outputs : int
        Candidate masks of an ambiguous prompt.
    iou_head_depth, iou_head_hidden_dim : int
        Layers and hidden width of the head that predicts each mask's IoU.
    """

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        num_multimask_outputs: int = 3,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        super().__init__()
        self.transformer_dim = transformer_dim
        self.transformer = transformer
        # Of the image that was asked about last.
        self._kept_tokens: ImageTokens | None = None
        self._kept_side: ImageSide | None = None
        self.num_multimask_outputs = num_multimask_outputs
        # Mask 0 answers unambiguous prompts, the others are the candidates of ambiguous ones.
        self.num_mask_tokens = num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, transformer_dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, transformer_dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(transformer_dim, transformer_dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(transformer_dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(transformer_dim // 4, transformer_dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(transformer_dim, transformer_dim, transformer_dim // 8, 3)
            for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            transformer_dim, iou_head_hidden_dim, self.num_mask_tokens, iou_head_depth
        )

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        precision: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict the masks of B prompts.

        Parameters
        ----------
        image_embeddings : Tensor of shape (1 or B, C, h, w)
            The image embedding, of all prompts or of each.
        image_pe : Tensor of shape (1, C, h, w)
            Its positional encoding.
        sparse_prompt_embeddings : Tensor of shape (B, T, C)
            Tokens of points, boxes and text.
        dense_prompt_embeddings : Tensor of shape (B, C, h, w)
            Encoded masks, or the expanded "no mask" vector.
        multimask_output : bool
            Three candidates (True) or the single mask (False).
        precision : torch.dtype, optional
            Of large products: in what the masks are upscaled, and where there are kernels for it,
            image tokens are multiplied. The weights' own if omitted.

        Returns
        -------
        masks : Tensor of shape (B, K, 4 h, 4 w)
            Logits.
        iou : Tensor of shape (B, K)
            Predicted IoU; may exceed 1.
        """
        return self.predict_masks(
            image_embeddings,
            image_pe,
            sparse_prompt_embeddings,
            dense_prompt_embeddings,
            tokens=slice(1, None) if multimask_output else slice(0, 1),
            precision=precision,
        )

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        tokens: slice = slice(None),
        precision: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict the masks of the chosen mask tokens; by default of all four.

        Parameters
        ----------
        image_embeddings : Tensor of shape (1 or B, C, h, w)
            The image embedding, of all prompts or of each.
        image_pe : Tensor of shape (1, C, h, w)
            Its positional encoding.
        sparse_prompt_embeddings : Tensor of shape (B, T, C)
            Tokens of points, boxes and text.
        dense_prompt_embeddings : Tensor of shape (B, C, h, w)
            Encoded masks, or the expanded "no mask" vector.
        tokens : slice
            Which of the mask tokens: 0 answers unambiguous prompts, the others are candidates.
        precision : torch.dtype, optional
            Of large products: in what the masks are upscaled, and where there are kernels for it,
            image tokens are multiplied. The weights' own if omitted.

        Returns
        -------
        masks : Tensor of shape (B, K, 4 h, 4 w)
            Logits.
        iou : Tensor of shape (B, K)
            Predicted IoU; may exceed 1.
        """
        dtype = self.iou_token.weight.dtype
        images, image_pe, sparse, dense = (
            x.to(dtype)
            for x in (
                image_embeddings,
                image_pe,
                sparse_prompt_embeddings,
                _without_copies(dense_prompt_embeddings),
            )
        )
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (5, C)
        queries = torch.cat([output.expand(len(sparse), -1, -1), sparse], dim=1)  # (B, 5 + T, C)
        update, at_once = self._choose((images, dense, image_pe), queries, precision or dtype)
        grid = (images.shape[-2], images.shape[-1])
        answers = []
        for start in range(0, len(queries), at_once):
            part = slice(start, start + at_once)
            updated, keys = update(queries[part], part)
            answers.append(self._read(updated, keys, grid, tokens, precision or dtype))
        masks, iou = zip(*answers, strict=True)
        return torch.cat(masks), torch.cat(iou)

    def _choose(
        self, maps: tuple[Tensor, Tensor, Tensor], queries: Tensor, precision: torch.dtype
    ) -> tuple[Callable[[Tensor, slice], tuple[Tensor, Tensor]], int]:
        """How to run the transformer for some prompts' tokens, and for how many at once.

        The maps are image embeddings, dense prompts and the positional encoding.
        """
        transformer, (images, dense, image_pe) = self.transformer, maps
        eager, tokens = runs_eagerly_on_cpu(images), queries.shape[1]
        by_kernels = precision == torch.bfloat16 and two_way.suits(transformer, images, tokens)
        in_parts = (
            eager
            and images.dtype == torch.float32
            and few(transformer, tokens)
            and is_plain(transformer)
        )
        # The same for all prompts, as without a mask: the image's part is computed once.
        shared = len(images) == len(dense) == 1 and dense.stride()[-2:] == (0, 0)
        kept = None
        if shared and (by_kernels or in_parts):
            of_tokens = precision if by_kernels else images.dtype
            kept = self._keep(images, dense[..., :1, :1], image_pe, of_tokens)
        if by_kernels:
            positions = kept.positions if kept else in_rows(image_pe)[0]

            def update(queries: Tensor, part: slice) -> tuple[Tensor, Tensor]:
                keys = kept.keys if kept else in_rows(_part(images, part) + _part(dense, part))
                return two_way.run(transformer, keys, positions, queries)

            return update, PROMPTS
        if kept:
            side = self._keep_side(kept)
            return lambda queries, part: side.run(queries), 1

        def update_plainly(queries: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            return transformer(_part(images, part) + _part(dense, part), image_pe, queries)

        # A prompt's image tokens and fine maps fill a CPU's caches: one prompt after the other.
        return update_plainly, 1 if eager else len(queries)

    def _keep(
        self, image: Tensor, dense: Tensor, image_pe: Tensor, dtype: torch.dtype
    ) -> ImageTokens:
        # Another thread may put another image in its place at any time.
        given, kept = (image, dense, image_pe, dtype), self._kept_tokens
        if kept is None or not kept.fits(*given):
            self._kept_tokens = kept = ImageTokens.of(*given)
        return kept

    def _keep_side(self, tokens: ImageTokens) -> ImageSide:
        side = self._kept_side
        if side is None or not side.fits(self.transformer, tokens):
            self._kept_side = side = ImageSide.of(self.transformer, tokens)
        return side

    def _read(
        self,
        queries: Tensor,
        keys: Tensor,
        grid: tuple[int, int],
        tokens: slice,
        precision: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """Make masks and their IoU of updated tokens (B, 5 + T, C) and image tokens (B, N, C)."""
        iou_token, mask_tokens = queries[:, 0], queries[:, 1 : 1 + self.num_mask_tokens]
        chosen = range(self.num_mask_tokens)[tokens]
        weights = torch.stack(
            [self.output_hypernetworks_mlps[i](mask_tokens[:, i]) for i in chosen], dim=1
        )  # (B, K, C / 8)
        iou = self.iou_prediction_head(iou_token)[:, tokens]  # (B, K)
        kernels = compiled_bfloat16 if precision == torch.bfloat16 else compiled
        if kernels.suits(keys, weights):
            layers = cast(_Upscaling, tuple(self.output_upscaling))
            return kernels.upscale(keys, grid, layers, weights), iou
        masks = _per_mask(self._upscale(keys.to(precision)), weights.to(precision))
        return _in_place(masks.to(weights.dtype), grid), iou

    def _upscale(self, keys: Tensor) -> Tensor:
        """N image tokens (B, N, C) to 16 finer ones each, in their precision: (B, 16 N, C / 8).

        A transposed convolution whose kernel is as large as its stride is a linear layer from each
        token to 2 x 2 finer ones. They are kept side by side, and put in their places only when
        they have become the few channels of the masks.
        """
        first, norm, _, second, _ = cast(_Upscaling, tuple(self.output_upscaling))
        x = _upscale_tokens(first, keys)  # (B, 4 N, C / 4)
        scale, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
        x = functional.layer_norm(x, scale.shape, scale, bias, norm.eps)
        return own_gelu(_upscale_tokens(second, own_gelu(x)))


_Upscaling = tuple[nn.ConvTranspose2d, LayerNorm2d, nn.Module, nn.ConvTranspose2d, nn.Module]


def _upscale_tokens(layer: nn.ConvTranspose2d, tokens: Tensor) -> Tensor:
    """Apply a 2 x 2 transposed convolution to (B, N, in): (B, 4 N, out), 2 x 2 by 2 x 2."""
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 * 2 * out, in)
    bias = cast(Tensor, layer.bias).repeat(4)
    finer = linear(tokens, weight.to(tokens.dtype), bias.to(tokens.dtype))  # (B, N, 2 * 2 * out)
    return finer.unflatten(2, (4, -1)).flatten(1, 2)


def _per_mask(finer: Tensor, weights: Tensor) -> Tensor:
    """Weigh the channels of (B, 16 N, C / 8) by (B, K, C / 8), for each mask: (B, K, 16 N).

    Many rows by few columns: the other way round, a CPU takes five times as long in bfloat16. And
    twice as long for a batch of one as for two matrices.
    """
    if runs_eagerly_on_cpu(finer) and len(finer) == 1:
        return (finer[0] @ weights[0].T).T[None]
    return (finer @ weights.mT).mT


def _in_place(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Order masks (B, K, 16 h * w), 2 x 2 by 2 x 2 in each token, by rows: (B, K, 4 h, 4 w)."""
    height, width = grid
    masks = masks.unflatten(2, (height, width, 2, 2, 2, 2))
    masks = masks.permute(0, 1, 2, 4, 6, 3, 5, 7)  # (B, K, h, 2, 2, w, 2, 2)
    return masks.reshape(*masks.shape[:2], 4 * height, 4 * width)


def _without_copies(dense: Tensor) -> Tensor:
    """One map in place of B views of the same one, so that the image side is computed once."""
    return dense[:1] if dense.stride(0) == 0 else dense


def _part(x: Tensor, part: slice) -> Tensor:
    """Some prompts' share of what there is once for all or once for each."""
    return x if len(x) == 1 else x[part]
