"""``Sam``: image encoder, prompt encoder and mask decoder as one module."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.configs import SamConfig
from sam_plugins.modeling.layers import Float32Buffers
from sam_plugins.modeling.mask_decoder import MaskDecoder
from sam_plugins.modeling.prompt_encoder import PromptEncoder

# Mean and spread of ImageNet's RGB values in 0 .. 255, which the released weights expect.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


class Sam(Float32Buffers):
    """The whole model. Tensors in, tensors out, coordinates in frame pixels.

    Parameters
    ----------
    config : SamConfig
        What the model is made of.
    image_encoder : nn.Module
        Takes (B, 3, H, W), gives the image embedding.
    prompt_encoder : PromptEncoder
        Takes prompts.
    mask_decoder : MaskDecoder
        Gives masks.

    Attributes
    ----------
    name : str
        The configuration's name, or the name under which weights were loaded.
    weights_hash : str or None
        SHA-256 of the loaded weights; None for weights made in memory.
    mask_threshold : float
        Logits above it are foreground.
    logit_scale : float
        How many times larger logits are given than those that the losses of training see.
    image_format : str
        Order of the channels.
    decode_is_recordable : bool
        Whether `decode` does the same steps for all prompts of one form, see `modeling.graphs`.
    half_suits_cpu : bool
        Whether half precision pays on a CPU that has it.
    """

    mask_threshold: float = 0.0
    logit_scale: float = 1.0
    image_format: str = "RGB"
    decode_is_recordable: bool = True
    half_suits_cpu: bool = True
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        config: SamConfig,
        image_encoder: nn.Module,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
    ) -> None:
        super().__init__()
        self.config = config
        self.name = config.name
        self.weights_hash: str | None = None
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self._register_pixel_statistics()

    def _register_pixel_statistics(self, device: torch.device | None = None) -> None:
        # Not in the official files, so not persistent.
        for name, values in (("pixel_mean", PIXEL_MEAN), ("pixel_std", PIXEL_STD)):
            statistic = torch.tensor(values, device=device).view(3, 1, 1)
            self.register_buffer(name, statistic, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        was_meta = self.pixel_mean.is_meta
        super()._apply(fn, recurse)
        if was_meta and not self.pixel_mean.is_meta:
            # Given memory after it was built without any: no checkpoint will fill these.
            self._register_pixel_statistics(self.pixel_mean.device)
        return self

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.pixel_mean.device

    @property
    def frame_size(self) -> int:
        """Side of the square frame, in pixels."""
        return self.config.frame_size

    @property
    def low_resolution_stride(self) -> int:
        """Frame pixels to one low-resolution logit along each axis."""
        return 4

    def preprocess(self, x: Tensor) -> Tensor:
        """Normalise pixels and pad them right and below to the frame.

        Parameters
        ----------
        x : Tensor of shape (..., 3, h, w)
            RGB in 0 .. 255, resized to fit the frame.

        Returns
        -------
        Tensor of shape (..., 3, F, F), float
            F is the frame's side. The padding is zero after normalisation: the mean colour.
        """
        x = (x - self.pixel_mean) / self.pixel_std
        height, width = x.shape[-2:]
        return functional.pad(x, (0, self.frame_size - width, 0, self.frame_size - height))

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode preprocessed frames.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W)
            From `preprocess`.

        Returns
        -------
        tuple of Tensor
            Feature maps with batch axis B, the image embedding (B, C, h, w) first.
        """
        return (self.image_encoder(images),)

    def decode(
        self,
        features: tuple[Tensor, ...],
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        mask_logits: Tensor | None = None,
        text_tokens: Tensor | None = None,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Answer B prompts of one form about one image, or each about an image of its own.

        Parameters
        ----------
        features : tuple of Tensor
            From `encode`, with a batch axis of 1, or of B.
        points : Tensor of shape (B, N, 2), optional
            x then y, in frame pixels.
        labels : Tensor of shape (B, N), optional
            1 foreground, 0 background, -1 padding. Goes with ``points``.
        boxes : Tensor of shape (B, M, 4), optional
            xyxy, in frame pixels; the M boxes of a prompt describe one object.
        mask_logits : Tensor of shape (B, 1, h, w), optional
            Low-resolution logits.
        text_tokens : Tensor of shape (B, T, C), optional
            Text embeddings, projected to the width of the tokens.
        multimask : bool
            Three masks a prompt (True) or one (False).

        Returns
        -------
        logits : Tensor of shape (B, K, h, w)
            Low-resolution logits.
        iou : Tensor of shape (B, K)
            Predicted IoU.

        Raises
        ------
        ValueError
            If points are given without labels, or labels without points.

        Notes
        -----
        Under autocast and without gradients, only large products are made in half precision: of
        the masks' upscaling and, on some processors, of image tokens. All else is little work, and
        decides what is meant.
        """
        if (points is None) != (labels is None):
            raise ValueError("points and labels must be given together")
        grid = (features[0].shape[-2], features[0].shape[-1])
        device = features[0].device.type
        half = not torch.is_grad_enabled() and torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False) if half else nullcontext():
            sparse, dense = self.prompt_encoder(
                points=None if points is None else (points, labels),
                boxes=boxes,
                masks=mask_logits,
                text=text_tokens,
                grid=grid,
            )
            return self.mask_decoder(
                image_embeddings=features[0],
                image_pe=self.prompt_encoder.get_dense_pe(grid),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                precision=torch.get_autocast_dtype(device) if half else None,
            )

    def postprocess_masks(
        self, masks: Tensor, input_size: tuple[int, int], original_size: tuple[int, int]
    ) -> Tensor:
        """Bring low-resolution logits to the original size, in the reference's two bilinear steps.

        Parameters
        ----------
        masks : Tensor of shape (B, K, h, w)
            Low-resolution logits.
        input_size : tuple of int
            (h, w) of the resized image in the frame.
        original_size : tuple of int
            (H, W) of the original image.

        Returns
        -------
        Tensor of shape (B, K, H, W)
            Logits.
        """
        size = (self.frame_size, self.frame_size)
        in_frame = functional.interpolate(masks, size, mode="bilinear", align_corners=False)
        inside = in_frame[..., : input_size[0], : input_size[1]]
        return functional.interpolate(inside, original_size, mode="bilinear", align_corners=False)

    @torch.no_grad()
    def forward(
        self, batched_input: list[dict[str, Any]], multimask_output: bool
    ) -> list[dict[str, Tensor]]:
        """Predict for several images, each with its own prompts (the reference's interface).

        Parameters
        ----------
        batched_input : list of dict
            For each image: ``image`` (3, h, w), resized, 0 .. 255; ``original_size`` (H, W); and,
            optionally, ``point_coords`` (B, N, 2) with ``point_labels`` (B, N), ``boxes`` (B, 4),
            ``mask_inputs`` (B, 1, h, w), all in frame pixels.
        multimask_output : bool
            Three masks a prompt or one.

        Returns
        -------
        list of dict
            For each image: ``masks`` (B, K, H, W) bool, ``iou_predictions`` (B, K),
            ``low_res_logits`` (B, K, h, w).
        """
        images = torch.stack([self.preprocess(record["image"]) for record in batched_input])
        features = self.encode(images)
        outputs = []
        for index, record in enumerate(batched_input):
            boxes = record.get("boxes")
            logits, iou = self.decode(
                tuple(feature[index : index + 1] for feature in features),
                points=record.get("point_coords"),
                labels=record.get("point_labels"),
                boxes=None if boxes is None else boxes.reshape(len(boxes), -1, 4),
                mask_logits=record.get("mask_inputs"),
                multimask=multimask_output,
            )
            masks = self.postprocess_masks(
                logits, tuple(record["image"].shape[-2:]), tuple(record["original_size"])
            )
            outputs.append(
                {
                    "masks": masks > self.mask_threshold,
                    "iou_predictions": iou,
                    "low_res_logits": logits,
                }
            )
        return outputs
