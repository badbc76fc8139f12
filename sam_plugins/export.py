"""Models as ONNX files: an image encoder, and a mask decoder as for the reference's browser demo.

Needs the extra ``export``. What comes out runs without torch, in a browser for instance.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sam_plugins.compat.utils.onnx import SamOnnxModel
from sam_plugins.errors import SamPluginsError
from sam_plugins.files import atomic_path
from sam_plugins.modeling.configs import LiteConfig
from sam_plugins.modeling.sam import Sam

# The newest that the exporter and all runtimes in use agree on.
OPSET = 18

DECODER_INPUTS = (
    *("image_embeddings", "point_coords", "point_labels"),
    *("mask_input", "has_mask_input", "orig_im_size"),
)
DECODER_OUTPUTS = ("masks", "iou_predictions", "low_res_masks")

StrPath = str | os.PathLike[str]


class OnnxEncoder(nn.Module):
    """An image encoder that takes pixels.

    Parameters
    ----------
    model : Sam
    """

    def __init__(self, model: Sam) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Normalise, pad, encode.

        Parameters
        ----------
        image : Tensor of shape (B, 3, h, w), float32
            RGB in 0 .. 255, resized so that the longer side is the frame's.

        Returns
        -------
        tuple of Tensor
            The image embedding (B, C, h, w), for ``lite`` followed by its finer maps.
        """
        return self.model.encode(self.model.preprocess(image))


def export_encoder(model: Sam, path: StrPath) -> None:
    """Write the image encoder.

    Parameters
    ----------
    model : Sam
    path : path-like
        The ``.onnx`` file. Encoders of more than 2 GB have their weights in a file beside it.

    Raises
    ------
    SamPluginsError
        If the extra ``export`` is not installed.

    Notes
    -----
    One input, ``image`` of shape (1, 3, h, w), see `OnnxEncoder`; h and w are free up to the
    frame's side. The first output is called ``image_embeddings``.
    """
    side = model.frame_size
    example = torch.zeros(1, 3, side - 64, side)
    count = (
        1 if not isinstance(model.config.encoder, LiteConfig) else 4 * model.config.encoder.levels
    )
    names = ["image_embeddings", *(f"map_{index}" for index in range(1, count))]
    free = {
        2: torch.export.Dim("height", min=1, max=side),
        3: torch.export.Dim("width", min=1, max=side),
    }
    _export(
        OnnxEncoder(model), (example,), path, inputs=["image"], outputs=names, free={"image": free}
    )


def export_decoder(
    model: Sam, path: StrPath, *, single_mask: bool = False, use_stability_score: bool = False
) -> None:
    """Write prompt encoder, mask decoder and upsampling as one model.

    Parameters
    ----------
    model : Sam
        Not ``lite``, whose decoder looks at windows of its own choice.
    path : path-like
        The ``.onnx`` file.
    single_mask : bool
        One mask a prompt in place of four, see `SamOnnxModel`.
    use_stability_score : bool
        Rank by stability scores in place of predicted IoUs.

    Raises
    ------
    SamPluginsError
        If the model is ``lite``, or the extra ``export`` is not installed.

    Notes
    -----
    Inputs and outputs are those of the reference's own export (`DECODER_INPUTS`,
    `DECODER_OUTPUTS`), so that its browser demo takes the file. The number of points and the
    image's size are free.
    """
    if isinstance(model.config.encoder, LiteConfig):
        raise SamPluginsError(
            f"the mask decoder of {model.name!r} cannot be exported: use one of the models vit_t, "
            "vit_b, vit_l, vit_h"
        )
    decoder = SamOnnxModel(
        model, return_single_mask=single_mask, use_stability_score=use_stability_score
    ).eval()
    height, width = model.prompt_encoder.image_embedding_size
    channels = model.prompt_encoder.embed_dim
    points = 5
    example = (
        torch.zeros(1, channels, height, width),
        torch.rand(1, points, 2) * model.frame_size,
        torch.ones(1, points),
        torch.zeros(1, 1, 4 * height, 4 * width),
        torch.zeros(1),
        torch.tensor([900.0, 1500.0]),
    )
    many = torch.export.Dim("points", min=2, max=1000)
    free: dict[str, Any] = dict.fromkeys(DECODER_INPUTS)
    free |= {"point_coords": {1: many}, "point_labels": {1: many}}
    _export(decoder, example, path, inputs=DECODER_INPUTS, outputs=DECODER_OUTPUTS, free=free)


def _export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: StrPath,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    free: Mapping[str, Any],
) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SamPluginsError(
            'exporting needs the extra "export": pip install "sam-plugins[export]"'
        ) from error
    device = next(module.parameters()).device
    module = module.cpu().eval()
    try:
        # Fused attention lays its result out otherwise than the steps that it is exported as.
        with atomic_path(path) as file, _quiet(), sdpa_kernel(SDPBackend.MATH), torch.no_grad():
            torch.onnx.export(
                module,
                example,
                str(file),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamic_shapes=dict(free),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        module.to(device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
