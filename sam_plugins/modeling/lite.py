"""``lite``: the small model that this project trains and ships.

Shaped like SAM (image encoder, prompt encoder, two-way transformer, mask tokens with
hypernetworks, IoU head) with three differences that let a few million parameters learn it:

- prompts are not only tokens, but also maps (discs at clicks, soft boxes, the previous mask),
  added to the image embedding in the slot where SAM adds its encoded mask. Without the maps a
  small model does not learn within any affordable time where it was clicked;
- the encoder also gives maps at the strides 8, 4 and 2, which the mask decoder adds while it
  upsamples, so that borders are sharp at half the frame's resolution;
- a frame is encoded at two sizes (levels), the second half as large. The model learns from small
  crops, which is cheap; an object that is larger in the frame than any crop is small enough at the
  coarser level, and at the finer one a window of a crop's size about the prompt is looked at.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.modeling.configs import LiteConfig, SamConfig
from sam_plugins.modeling.layers import check_frame
from sam_plugins.modeling.lite_boxes import fit_to_boxes
from sam_plugins.modeling.lite_decoder import LiteMaskDecoder
from sam_plugins.modeling.lite_encoder import LiteImageEncoder
from sam_plugins.modeling.lite_levels import LevelPrompts, LevelView, join_views, look
from sam_plugins.modeling.lite_prompts import LitePromptEncoder
from sam_plugins.modeling.lite_windows import Maps
from sam_plugins.modeling.sam import Sam

# The focal loss leaves a small model's logits soft: inside its masks they are about 1. `decode`
# gives them this many times larger, so that the stability score, which cuts masks one logit above
# and below the threshold, tells good masks from bad ones. Masks do not change by it.
LOGIT_SCALE = 4.0

# A box with a longer side, in pixels of a level, belongs to the next coarser level.
LARGE_SIDE = 160

# A mask that its window cuts off by more than this (see `Windows.cut_off`) is a part of something
# larger: the coarser level answers. A disc cut in the middle has 1.6, one that touches less.
MOST_CUT_OFF = 0.3

# So many prompts are asked at all levels in one call: below, the calls cost more than the work.
FEW_PROMPTS = 4


class LiteSam(Sam):
    """The small model behind the same interface as `Sam`.

    Parameters
    ----------
    config : SamConfig
        With a `LiteConfig` as its encoder.

    Raises
    ------
    ValueError
        If the configuration is another model's.

    Notes
    -----
    `encode` gives four maps a level: the image embedding at stride 16, then maps at the strides 8,
    4, 2.
    Low-resolution logits have stride 2. Predicted IoUs lie in 0 .. 1.
    """

    prompt_encoder: LitePromptEncoder  # type: ignore[assignment]
    mask_decoder: LiteMaskDecoder  # type: ignore[assignment]
    logit_scale = LOGIT_SCALE
    # Where it looks is decided by where the prompts are.
    decode_is_recordable = False
    # It gains a tenth there, and one in twenty of all automatic masks changes (docs/benchmarks.md).
    half_suits_cpu = False

    def __init__(self, config: SamConfig) -> None:
        parts = config.encoder
        if not isinstance(parts, LiteConfig):
            raise ValueError(f"a lite model needs a LiteConfig, got {type(parts).__name__}")
        super().__init__(
            config,
            LiteImageEncoder(parts),
            LitePromptEncoder(parts),  # type: ignore[arg-type]
            LiteMaskDecoder(parts),  # type: ignore[arg-type]
        )
        self.levels = parts.levels

    def train(self, mode: bool = True) -> LiteSam:
        """Set the training mode.

        Parameters
        ----------
        mode : bool
            Training or evaluation.

        Returns
        -------
        LiteSam
            Itself, with convolutions laid out as the encoder's maps are: a fifth faster on a CPU.
        """
        super().train(mode)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @property
    def low_resolution_stride(self) -> int:
        """Frame pixels to one low-resolution logit along each axis."""
        return 2

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode preprocessed frames at each level's size.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W)
            From `preprocess`; H and W are multiples of the configuration's ``patch_size``.

        Returns
        -------
        tuple of Tensor
            For each level, the finest first, the four maps of `encode_level`: the image embedding
            comes first.

        Raises
        ------
        ValueError
            If the shape is another one.
        """
        check_frame(images.shape, self.config.encoder.patch_size)
        maps = [*self.encode_level(images)]
        for _ in range(1, self.levels):
            images = functional.avg_pool2d(images, 2)
            maps += self.encode_level(images)
        return tuple(maps)

    def encode_level(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode preprocessed images at one size.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W)
            From `preprocess`; H and W are multiples of 32.

        Returns
        -------
        tuple of Tensor
            Maps of shape (B, C, H / s, W / s) at the strides s = 16 (the image embedding), 8, 4 and
            2, each with its own number of channels C.

        Raises
        ------
        ValueError
            If the shape is another one.
        """
        return self.image_encoder(images.contiguous(memory_format=torch.channels_last))

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
            Low-resolution logits, at stride 2.
        iou : Tensor of shape (B, K)
            Predicted IoU, 0 .. 1.

        Raises
        ------
        ValueError
            If points are given without labels, or labels without points.

        Notes
        -----
        Logits come and go `LOGIT_SCALE` times as large as in `decode_all`. A box tells which level
        its object belongs to (`LARGE_SIDE`) and how large it is (`fit_to_boxes`); of clicks, all
        levels are asked, and each candidate comes from the level whose predicted IoU is highest.
        Prompts without a place (a mask or a text alone) are asked at the coarsest level.
        """
        if (points is None) != (labels is None):
            raise ValueError("points and labels must be given together")
        scaled = None if mask_logits is None else mask_logits / LOGIT_SCALE
        prompts = LevelPrompts(points, labels, boxes, scaled, text_tokens)
        chosen = slice(1, None) if multimask else slice(0, 1)
        if boxes is not None:
            side = (boxes[..., 2:] - boxes[..., :2]).amax((1, 2))  # (B,)
            logits, iou = self._by_size(features, prompts, chosen, side)
            return fit_to_boxes(logits, boxes, stride=self.low_resolution_stride), iou
        if points is None:
            logits, iou, _ = self._ask(features, prompts, chosen, level=self.levels - 1)
            return logits, iou
        (logits, iou, cut_off), *coarser = self._ask_all(features, prompts, chosen)
        for level_logits, level_iou, level_cut_off in coarser:
            better = (level_iou > iou) | (cut_off > MOST_CUT_OFF)  # (B, K)
            logits = torch.where(better[..., None, None], level_logits, logits)
            iou = torch.where(better, level_iou, iou)
            cut_off = torch.where(better, level_cut_off, cut_off)
        return logits, iou

    def _ask_all(
        self, features: tuple[Tensor, ...], prompts: LevelPrompts, chosen: slice
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Ask every level, the finest first: the answers of `_ask`."""
        views = [look(features, prompts, level, self.levels) for level in range(self.levels)]
        few = prompts.count <= FEW_PROMPTS and len({view.size for view in views}) == 1
        if not few:
            return [self._answer(view, *self._decode(view), chosen) for view in views]
        logits, iou = self._decode(join_views(views))
        parts = zip(views, logits.chunk(len(views)), iou.chunk(len(views)), strict=True)
        return [self._answer(*part, chosen) for part in parts]

    def _ask(
        self, features: tuple[Tensor, ...], prompts: LevelPrompts, chosen: slice, *, level: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ask one level: logits (B, K, h, w) of the frame, their IoU and `cut_off` (B, K)."""
        view = look(features, prompts, level, self.levels)
        return self._answer(view, *self._decode(view), chosen)

    def _decode(self, view: LevelView) -> tuple[Tensor, Tensor]:
        return self.decode_all(view.maps, **vars(view.prompts), origin=view.origin)

    @staticmethod
    def _answer(
        view: LevelView, logits: Tensor, iou: Tensor, chosen: slice
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits, cut_off = view.to_frame(LOGIT_SCALE * logits[:, chosen])
        return logits, iou[:, chosen].sigmoid(), cut_off

    def _by_size(
        self, features: tuple[Tensor, ...], prompts: LevelPrompts, chosen: slice, side: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Ask each prompt at the level that objects with a longer side (B,) belong to."""
        level_of = torch.zeros_like(side, dtype=torch.long)
        for level in range(self.levels - 1):
            level_of += side > LARGE_SIDE * 2**level
        order, logits, iou = [], [], []
        for level in range(self.levels):
            rows = (level_of == level).nonzero()[:, 0]
            if len(rows):
                images = tuple(x[rows] if len(x) > 1 else x for x in features)
                answer = self._ask(images, prompts.take(rows), chosen, level=level)
                order.append(rows)
                logits.append(answer[0])
                iou.append(answer[1])
        back = torch.cat(order).argsort()
        return torch.cat(logits)[back], torch.cat(iou)[back]

    def decode_all(
        self,
        features: tuple[Maps, ...],
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        mask_logits: Tensor | None = None,
        text_tokens: Tensor | None = None,
        origin: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Answer K prompts about each of I images with all four masks, for training.

        Parameters
        ----------
        features : tuple of Tensor or of list of Tensor
            From `encode`, for I images; lists hold each image's own maps.
        points, labels, boxes, mask_logits, text_tokens : Tensor, optional
            As in `Sam.decode`; B = I * K prompts, those of one image together.
        origin : Tensor of shape (I, 2), optional
            Where in a larger frame the images lie, x then y, in pixels: windows where they were
            cut, the crops of training anywhere.

        Returns
        -------
        logits : Tensor of shape (B, 4, H / 2, W / 2)
            Mask 0 answers unambiguous prompts, 1 to 3 are candidates.
        iou : Tensor of shape (B, 4)
            Logits of the predicted IoU.
        """
        height, width = features[2][0].shape[-2:]
        given = [x for x in (points, boxes, mask_logits, text_tokens) if x is not None]
        batch = len(given[0]) if given else len(features[0])
        tokens, maps = self.prompt_encoder(
            points=points,
            labels=labels,
            boxes=boxes,
            mask_logits=mask_logits,
            text_tokens=text_tokens,
            batch=batch,
            size=(height, width),
            origin=origin,
        )
        rows, columns = features[0][0].shape[-2:]
        image_pe = self.prompt_encoder.grid_encoding((rows, columns), origin)
        return self.mask_decoder(features, image_pe, tokens, maps)


def build_lite(config: SamConfig) -> LiteSam:
    """Build the small model with random weights.

    Parameters
    ----------
    config : SamConfig
        With a `LiteConfig` as its encoder.

    Returns
    -------
    LiteSam
        In training mode.
    """
    return LiteSam(config)
