"""CLIP and SigLIP through ``transformers``: texts and crops of images as vectors of one space."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_plugins.errors import DownloadError, InvalidPromptError, SamPluginsError

if TYPE_CHECKING:
    from torch import Tensor

# The paper's own (§D.5): ViT-L/14 at 336 pixels.
DEFAULT_CLIP = "openai/clip-vit-large-patch14-336"

# Mean and spread of RGB in 0 .. 1 that the released weights expect: CLIP's, else SigLIP's.
CLIP_STATISTICS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIGLIP_STATISTICS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

# What a crop is compared with to tell whether a text fits it, beside the text.
NEUTRAL = ("an object", "background", "a texture")
# CLIP's own temperature: cosines are multiplied by it before they compete.
SHARPNESS = 100.0


class ClipEncoder:
    """A text and image encoder of one space.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        With ``get_text_features`` and ``get_image_features``: CLIP, SigLIP and their like.
    tokenizer : transformers.PreTrainedTokenizerBase
        The model's.
    name : str
        To tell it by.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "clip") -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name

    @classmethod
    def load(cls, name: str = DEFAULT_CLIP, *, device: str = "cpu") -> ClipEncoder:
        """Load an encoder, downloading it if need be.

        Parameters
        ----------
        name : str
            A Hugging Face name, or a folder.
        device : str
            A torch device.

        Returns
        -------
        ClipEncoder

        Raises
        ------
        SamPluginsError
            If ``transformers`` is not installed, or the model is of another kind.
        DownloadError
            If it cannot be downloaded.
        """
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError:
            raise SamPluginsError(
                "text prompts by CLIP need transformers: pip install 'sam-plugins[text]'"
            ) from None
        try:
            model = AutoModel.from_pretrained(name)
            tokenizer = AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DownloadError(
                f"cannot get the text encoder {name!r} from Hugging Face: {reason}. Give the "
                "folder of one that was downloaded elsewhere, or --text-encoder tower"
            ) from error
        if not (hasattr(model, "get_text_features") and hasattr(model, "get_image_features")):
            raise SamPluginsError(
                f"{name!r} is a {type(model).__name__}, which has no text and image features: "
                "give a CLIP or SigLIP model"
            )
        return cls(model.to(device), tokenizer, name=name)

    @property
    def is_siglip(self) -> bool:
        """Whether the model is a SigLIP."""
        return str(self.model.config.model_type).startswith("siglip")

    @property
    def side(self) -> int:
        """Side of the crops that the model takes, in pixels."""
        return int(self.model.config.vision_config.image_size)

    @property
    def most_tokens(self) -> int:
        """The longest text, in tokens."""
        return int(self.model.config.text_config.max_position_embeddings)

    @cached_property
    def width(self) -> int:
        """Length of the vectors."""
        return len(self.texts(["a"])[0])

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts.

        Parameters
        ----------
        texts : sequence of str
            N texts.

        Returns
        -------
        ndarray of shape (N, D), float32
            L2-normalised.

        Raises
        ------
        InvalidPromptError
            If a text is longer than the model reads.
        """
        import torch

        for text in texts:
            count = len(self.tokenizer(text[: 20 * self.most_tokens])["input_ids"])
            if count > self.most_tokens:
                raise InvalidPromptError(
                    f"the text of {len(text)} characters is too long for {self.name}, which reads "
                    f"{self.most_tokens} tokens (about {4 * self.most_tokens} characters)"
                )
        padding = "max_length" if self.is_siglip else True
        tokens = self.tokenizer(list(texts), padding=padding, return_tensors="pt")
        with torch.inference_mode():
            return _unit(self.model.get_text_features(**tokens.to(self.model.device)))

    def images(
        self, crops: Sequence[NDArray[np.uint8]], *, batch_size: int = 16
    ) -> NDArray[np.float32]:
        """Encode square crops.

        Parameters
        ----------
        crops : sequence of ndarray of shape (h, w, 3), uint8
            N crops, RGB, of any sizes.
        batch_size : int
            How many the model takes at once.

        Returns
        -------
        ndarray of shape (N, D), float32
            L2-normalised.
        """
        import torch

        found = []
        for start in range(0, len(crops), batch_size):
            batch = torch.stack([self._pixels(each) for each in crops[start : start + batch_size]])
            with torch.inference_mode():
                found.append(
                    _unit(self.model.get_image_features(pixel_values=batch.to(self.model.device)))
                )
        return np.concatenate(found) if found else np.zeros((0, self.width), dtype=np.float32)

    def _pixels(self, crop: NDArray[np.uint8]) -> Tensor:
        import torch

        size = (self.side, self.side)
        resized = np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC))
        mean, spread = SIGLIP_STATISTICS if self.is_siglip else CLIP_STATISTICS
        values = (resized / np.float32(255) - np.array(mean, np.float32)) / np.array(
            spread, np.float32
        )
        return torch.from_numpy(values).permute(2, 0, 1)


def _unit(features: Any) -> NDArray[np.float32]:
    """Features (N, D), as a tensor or as an output that holds them, at length one."""
    tensor = getattr(features, "pooler_output", features).float().cpu()
    return (tensor / tensor.norm(dim=-1, keepdim=True).clamp(min=1e-12)).numpy()


def mask_crop(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], *, scale: float, alone: bool
) -> NDArray[np.uint8]:
    """Cut a square about a mask out of an image (paper, §D.5).

    Parameters
    ----------
    rgb : ndarray of shape (H, W, 3), uint8
        The image.
    mask : ndarray of shape (H, W), bool
        With a pixel or more.
    scale : float
        The square's side over the longer side of the mask's box; the paper draws it from 1 to 2.
    alone : bool
        Whether all outside the mask is made black.

    Returns
    -------
    ndarray of shape (S, S, 3), uint8
        Black beyond the image.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    side = max(1, round(scale * max(np.ptp(rows) + 1, np.ptp(columns) + 1)))
    top = round((rows[0] + rows[-1] + 1 - side) / 2)
    left = round((columns[0] + columns[-1] + 1 - side) / 2)
    crop = np.zeros((side, side, 3), dtype=np.uint8)
    inside = tuple(
        slice(max(start, 0), min(start + side, size))
        for start, size in zip((top, left), mask.shape, strict=True)
    )
    there = tuple(
        slice(part.start - start, part.stop - start)
        for part, start in zip(inside, (top, left), strict=True)
    )
    pixels = rgb[inside]
    crop[there] = np.where(mask[inside][..., None], pixels, 0) if alone else pixels
    return crop


def candidate_vectors(
    encoder: ClipEncoder, rgb: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]]
) -> NDArray[np.float32]:
    """Encode candidate masks: the mean of their crop as it is and of the mask alone.

    Parameters
    ----------
    encoder : ClipEncoder
        The encoder.
    rgb : ndarray of shape (H, W, 3), uint8
        The image.
    masks : sequence of ndarray of shape (H, W), bool
        N masks.

    Returns
    -------
    ndarray of shape (N, D), float32
        L2-normalised.
    """
    both = [
        encoder.images([mask_crop(rgb, mask, scale=1.5, alone=alone) for mask in masks])
        for alone in (False, True)
    ]
    total = both[0] + both[1]
    return total / np.linalg.norm(total, axis=1, keepdims=True).clip(min=1e-12)


def similarity_scores(
    encoder: ClipEncoder, vectors: NDArray[np.float32], text: str
) -> NDArray[np.float32]:
    """Tell how well a text fits candidates: against `NEUTRAL` texts, which fit anything.

    Parameters
    ----------
    encoder : ClipEncoder
        The encoder.
    vectors : ndarray of shape (N, D), float32
        From `candidate_vectors`.
    text : str
        What is looked for.

    Returns
    -------
    ndarray of shape (N,), float32
        0 to 1.
    """
    texts = encoder.texts([text, *NEUTRAL])
    logits = SHARPNESS * vectors @ texts.T  # (N, 1 + neutral)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds[:, 0] / odds.sum(axis=1)).astype(np.float32)
