"""``SamOnnxModel``: prompts to masks at the image's size as one module, for export."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.sam import Sam

# Added to the first token's score for each point above 2.5, which makes it win or lose always.
CERTAIN = 1000.0


class SamOnnxModel(nn.Module):
    """Prompt encoder, mask decoder and upsampling, in the form that the reference exports.

    Parameters
    ----------
    model : Sam
        The model.
    return_single_mask : bool
        Give one mask a prompt: the unambiguous one for three points or more (a box counts for two),
        else the best of the three candidates.
    use_stability_score : bool
        Rank by stability scores in place of predicted IoUs.
    return_extra_metrics : bool
        Also give stability scores and areas.
    """

    def __init__(
        self,
        model: Sam,
        return_single_mask: bool,
        use_stability_score: bool = False,
        return_extra_metrics: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.mask_decoder = model.mask_decoder
        self.img_size = model.frame_size
        self.return_single_mask = return_single_mask
        self.use_stability_score = use_stability_score
        self.stability_score_offset = 1.0
        self.return_extra_metrics = return_extra_metrics

    @torch.no_grad()
    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        orig_im_size: Tensor,
    ) -> tuple[Tensor, ...]:
        """Predict the masks of one prompt.

        Parameters
        ----------
        image_embeddings : Tensor of shape (1, C, h, w)
            The image embedding.
        point_coords : Tensor of shape (1, N, 2)
            x then y, in frame pixels; corners of a box are two points.
        point_labels : Tensor of shape (1, N)
            1 foreground, 0 background, 2 and 3 corners of a box, -1 padding, which is needed if
            there is no box.
        mask_input : Tensor of shape (1, 1, 4 h, 4 w)
            Logits.
        has_mask_input : Tensor of shape (1,)
            1 if ``mask_input`` counts, else 0.
        orig_im_size : Tensor of shape (2,)
            (H, W) of the image, in pixels.

        Returns
        -------
        masks : Tensor of shape (1, K, H, W)
            Logits.
        scores : Tensor of shape (1, K)
            Predicted IoU, or stability scores.
        stability_scores, areas : Tensor of shape (1, K)
            Only if asked for.
        low_res_masks : Tensor of shape (1, K, 4 h, 4 w)
            Logits.
        """
        encoder = self.model.prompt_encoder
        frame = (self.img_size, self.img_size)
        sparse = encoder._embed_points(point_coords, point_labels, frame, pad=False)
        nothing = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = encoder.mask_downscaling(mask_input) * has_mask_input
        low_resolution, scores = self.mask_decoder.predict_masks(
            image_embeddings, encoder.get_dense_pe(), sparse, dense + nothing * (1 - has_mask_input)
        )
        if self.use_stability_score:
            scores = self._stability(low_resolution)
        if self.return_single_mask:
            low_resolution, scores = self._best(low_resolution, scores, point_coords.shape[1])
        masks = self._at_image_size(low_resolution, orig_im_size)
        if not self.return_extra_metrics:
            return masks, scores, low_resolution
        areas = (masks > self.model.mask_threshold).sum((-1, -2))
        return masks, scores, self._stability(masks), areas, low_resolution

    def _stability(self, logits: Tensor) -> Tensor:
        threshold, offset = self.model.mask_threshold, self.stability_score_offset
        inner = (logits > threshold + offset).sum((-1, -2), dtype=torch.int32)
        return inner / (logits > threshold - offset).sum((-1, -2), dtype=torch.int32)

    def _best(self, masks: Tensor, scores: Tensor, points: int) -> tuple[Tensor, Tensor]:
        """One of four masks, chosen without branches: (1, 1, h, w) and its score (1, 1)."""
        certain = torch.zeros_like(scores)
        certain[:, 0] = CERTAIN
        best = (scores + (points - 2.5) * certain).argmax(dim=1)
        rows = torch.arange(len(masks))
        return masks[rows, best][:, None], scores[rows, best][:, None]

    def _at_image_size(self, masks: Tensor, size: Tensor) -> Tensor:
        frame = (self.img_size, self.img_size)
        masks = functional.interpolate(masks, frame, mode="bilinear", align_corners=False)
        long_side = size.to(torch.float32)
        inside = torch.floor(long_side * (self.img_size / long_side.max()) + 0.5).to(torch.int64)
        rows, columns = (x.item() for x in inside)
        height, width = (x.item() for x in size.to(torch.int64))
        # What the exporter cannot know of them.
        for side in (rows, columns, height, width):
            torch._check(side > 0)
        for side in (rows, columns):
            torch._check(side <= self.img_size)
        masks = masks[..., :rows, :columns]
        return functional.interpolate(masks, (height, width), mode="bilinear", align_corners=False)
