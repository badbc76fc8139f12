"""The mask decoder: from the image embedding and a prompt's tokens to masks and their quality.

Paper, §A ("Lightweight mask decoder", "Making the model ambiguity-aware").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam_plugins.modeling.layers import MLP, LayerNorm2d
from sam_plugins.modeling.two_way_transformer import TwoWayTransformer


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
    ) -> tuple[Tensor, Tensor]:
        """Predict the masks of B prompts about one image.

        Parameters
        ----------
        image_embeddings : Tensor of shape (1, C, h, w)
            The image embedding.
        image_pe : Tensor of shape (1, C, h, w)
            Its positional encoding.
        sparse_prompt_embeddings : Tensor of shape (B, T, C)
            Tokens of points, boxes and text.
        dense_prompt_embeddings : Tensor of shape (B, C, h, w)
            Encoded masks, or the expanded "no mask" vector.
        multimask_output : bool
            Three candidates (True) or the single mask (False).

        Returns
        -------
        masks : Tensor of shape (B, K, 4 h, 4 w)
            Logits.
        iou : Tensor of shape (B, K)
            Predicted IoU; may exceed 1.
        """
        masks, iou = self.predict_masks(
            image_embeddings,
            image_pe,
            sparse_prompt_embeddings,
            dense_prompt_embeddings,
            tokens=slice(1, None) if multimask_output else slice(0, 1),
        )
        return masks, iou

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        tokens: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """Predict the masks of the chosen mask tokens; by default of all four."""
        batch = len(sparse_prompt_embeddings)
        height, width = image_embeddings.shape[-2:]
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (5, C)
        output_tokens = output_tokens.expand(batch, -1, -1)
        queries = torch.cat([output_tokens, sparse_prompt_embeddings], dim=1)  # (B, 5 + T, C)
        queries, keys = self.transformer(
            image_embeddings + _without_copies(dense_prompt_embeddings), image_pe, queries
        )
        iou_token, mask_tokens = queries[:, 0], queries[:, 1 : 1 + self.num_mask_tokens]
        # (B, h * w, C) -> (B, C, h, w)
        image = keys.transpose(1, 2).unflatten(2, (height, width))
        upscaled = self.output_upscaling(image)  # (B, C / 8, 4 h, 4 w)
        chosen = range(self.num_mask_tokens)[tokens]
        weights = torch.stack(
            [self.output_hypernetworks_mlps[i](mask_tokens[:, i]) for i in chosen], dim=1
        )  # (B, K, C / 8)
        masks = weights @ upscaled.flatten(2)  # (B, K, 16 h * w)
        masks = masks.unflatten(2, upscaled.shape[-2:])  # (B, K, 4 h, 4 w)
        return masks, self.iou_prediction_head(iou_token)[:, tokens]


def _without_copies(dense: Tensor) -> Tensor:
    """One map in place of B views of the same one, so that the image side is computed once."""
    return dense[:1] if dense.stride(0) == 0 else dense
