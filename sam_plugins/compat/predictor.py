"""``SamPredictor`` with the reference's signatures: it holds one image at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam_plugins.compat.utils.transforms import ResizeLongestSide
from sam_plugins.frames import Frame
from sam_plugins.modeling.sam import Sam
from sam_plugins.predictor import CPU_PROMPTS_PER_BATCH, GPU_PROMPTS_PER_BATCH


class SamPredictor:
    """Set an image, then predict masks from prompts.

    Parameters
    ----------
    sam_model : Sam
        The model.

    Notes
    -----
    Unlike the reference, many prompts are decoded a few at a time, so that the memory they take
    is that of their results; and `reset_image` forgets the image's sizes too.
    """

    def __init__(self, sam_model: Sam) -> None:
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.frame_size)
        self.reset_image()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def reset_image(self) -> None:
        """Forget the current image."""
        self.is_image_set = False
        self.features: Tensor | None = None
        self.original_size: tuple[int, int] | None = None
        self.input_size: tuple[int, int] | None = None
        self._features: tuple[Tensor, ...] = ()

    def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
        """Encode an image.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            The image.
        image_format : str
            ``"RGB"`` or ``"BGR"``.

        Raises
        ------
        ValueError
            If the format is another one.
        """
        if image_format not in ("RGB", "BGR"):
            raise ValueError(f"image_format must be 'RGB' or 'BGR', got {image_format!r}")
        if image_format != self.model.image_format:
            image = image[..., ::-1]
        resized = torch.as_tensor(self.transform.apply_image(image).copy(), device=self.device)
        self.set_torch_image(resized.permute(2, 0, 1)[None], image.shape[:2])

    @torch.no_grad()
    def set_torch_image(self, transformed_image: Tensor, original_image_size: Any) -> None:
        """Encode an image that was resized already.

        Parameters
        ----------
        transformed_image : Tensor of shape (1, 3, h, w)
            0 to 255, its long side as long as the model's frame.
        original_image_size : tuple of int
            (H, W) before resizing.

        Raises
        ------
        ValueError
            If the tensor has another shape.
        """
        shape = tuple(transformed_image.shape)
        if len(shape) != 4 or shape[:2] != (1, 3) or max(shape[2:]) != self.model.frame_size:
            raise ValueError(
                "set_torch_image needs a tensor (1, 3, h, w) with a long side of "
                f"{self.model.frame_size}, got {shape}"
            )
        self.reset_image()
        self.original_size = (int(original_image_size[0]), int(original_image_size[1]))
        self.input_size = (shape[2], shape[3])
        self._features = self.model.encode(self.model.preprocess(transformed_image))
        self.features = self._features[0]
        self.is_image_set = True

    def predict(
        self,
        point_coords: NDArray[Any] | None = None,
        point_labels: NDArray[Any] | None = None,
        box: NDArray[Any] | None = None,
        mask_input: NDArray[Any] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Predict masks of the current image from one prompt.

        Parameters
        ----------
        point_coords : ndarray of shape (N, 2), optional
            x then y, in pixels of the original image.
        point_labels : ndarray of shape (N,), optional
            1 foreground, 0 background.
        box : ndarray of shape (4,), optional
            x0, y0, x1, y1 in pixels of the original image.
        mask_input : ndarray of shape (1, 256, 256), optional
            Low-resolution logits of an earlier prediction.
        multimask_output : bool
            Three masks or one.
        return_logits : bool
            Give logits in place of boolean masks.

        Returns
        -------
        masks : ndarray of shape (C, H, W), bool (float32 for logits)
        iou_predictions : ndarray of shape (C,), float32
        low_res_masks : ndarray of shape (C, 256, 256), float32

        Raises
        ------
        RuntimeError
            If no image was set.
        ValueError
            If points are given without labels.
        """
        original_size = self._require_image()
        coords = labels = boxes = mask = None
        if point_coords is not None:
            if point_labels is None:
                raise ValueError("point_labels must be given with point_coords")
            scaled = self.transform.apply_coords(point_coords, original_size)
            coords = torch.as_tensor(scaled.astype(np.float32), device=self.device)[None]
            labels = torch.as_tensor(point_labels, dtype=torch.int, device=self.device)[None]
        if box is not None:
            scaled = self.transform.apply_boxes(box, original_size)
            boxes = torch.as_tensor(scaled.astype(np.float32), device=self.device)
        if mask_input is not None:
            mask = torch.as_tensor(mask_input, dtype=torch.float32, device=self.device)[None]
        masks, iou, low_res = self.predict_torch(
            coords, labels, boxes, mask, multimask_output, return_logits
        )
        return (
            masks[0].cpu().numpy(),
            iou[0].float().cpu().numpy(),
            low_res[0].float().cpu().numpy(),
        )

    @torch.no_grad()
    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict masks of the current image from B prompts, in the model's frame.

        Parameters
        ----------
        point_coords : Tensor of shape (B, N, 2), optional
            x then y, in frame pixels (see `transform`).
        point_labels : Tensor of shape (B, N), optional
            1 foreground, 0 background, -1 nothing.
        boxes : Tensor of shape (B, 4), optional
            xyxy, in frame pixels.
        mask_input : Tensor of shape (B, 1, 256, 256), optional
            Low-resolution logits.
        multimask_output : bool
            Three masks a prompt or one.
        return_logits : bool
            Give logits in place of boolean masks.

        Returns
        -------
        masks : Tensor of shape (B, C, H, W), bool (float32 for logits)
        iou_predictions : Tensor of shape (B, C)
        low_res_masks : Tensor of shape (B, C, 256, 256)
        """
        original_size = self._require_image()
        frame = Frame(original_size, self.model.frame_size, self.model.low_resolution_stride)
        given = [x for x in (point_coords, boxes, mask_input) if x is not None]
        count = max((len(x) for x in given), default=1)
        size = CPU_PROMPTS_PER_BATCH if self.device.type == "cpu" else GPU_PROMPTS_PER_BATCH
        masks, ious, low_res = [], [], []
        for start in range(0, count, size):
            part = slice(start, start + size)
            logits, iou = self.model.decode(
                self._features,
                points=None if point_coords is None else point_coords[part],
                labels=None if point_labels is None else point_labels[part],
                boxes=None if boxes is None else boxes[part].reshape(-1, 1, 4),
                mask_logits=None if mask_input is None else mask_input[part],
                multimask=multimask_output,
            )
            for each in logits:  # (C, h, w)
                full = frame.upsample(each)  # (C, H, W)
                masks.append(full if return_logits else full > self.model.mask_threshold)
            ious.append(iou)
            low_res.append(logits)
        return torch.stack(masks), torch.cat(ious), torch.cat(low_res)

    def get_image_embedding(self) -> Tensor:
        """Embedding of the current image, (1, C, h, w)."""
        self._require_image()
        assert self.features is not None
        return self.features

    def _require_image(self) -> tuple[int, int]:
        if not self.is_image_set or self.original_size is None:
            raise RuntimeError("no image is set: call set_image(...) before predicting")
        return self.original_size
