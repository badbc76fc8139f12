"""An image encoder that OpenVINO runs: on a CPU its attention in bfloat16 is faster than PyTorch's.

Needs the extra ``openvino``. A model is translated once, which takes a minute for ViT-B, and kept.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


class OpenVinoEncoder:
    """Encode frames by OpenVINO, one after the other.

    Parameters
    ----------
    encoder : nn.Module
        Takes (1, 3, H, W), gives an image embedding (1, C, h, w).
    frame_size : int
        Side of the frame, H = W, in pixels.
    folder : Path
        Where the translated model is kept, 360 MB for ViT-B; made if it is missing.
    name : str
        Of the model's weights, which its file gets.
    half : bool
        In bfloat16, or in float32.

    Raises
    ------
    ValueError
        If OpenVINO is not installed.
    OSError
        If the folder cannot be written to.
    """

    def __init__(
        self, encoder: nn.Module, *, frame_size: int, folder: Path, name: str, half: bool
    ) -> None:
        try:
            import openvino
        except ImportError as error:
            raise ValueError(
                "the precision 'openvino' needs the extra \"openvino\": "
                'pip install "sam-plugins[openvino]"'
            ) from error
        # Another version may read a model otherwise.
        kept = folder / f"{name}-{openvino.__version__.partition('-')[0]}"
        if not kept.is_dir():
            _translate(encoder, frame_size, kept)
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self._compiled: Any = openvino.Core().compile_model(kept / "encoder.xml", "CPU", settings)

    def __call__(self, images: Tensor) -> Tensor:
        """Encode preprocessed frames.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            On the CPU.

        Returns
        -------
        Tensor of shape (B, C, h, w), float32
        """
        embeddings = [self._compiled([image[None].numpy()])[0] for image in images.cpu()]
        return torch.from_numpy(np.concatenate(embeddings))


def _translate(encoder: nn.Module, frame_size: int, kept: Path) -> None:
    """Write OpenVINO's form of a model into a folder, whole or not at all."""
    import openvino

    logger.info("translating the image encoder for OpenVINO, once: it takes up to a minute")
    shape = (1, 3, frame_size, frame_size)
    with warnings.catch_warnings(), torch.no_grad():
        # The tracer's, that sizes become constants: they are.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(encoder, example_input=torch.zeros(shape), input=list(shape))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=kept.parent) as folder:
        made = Path(folder, kept.name)
        openvino.save_model(model, made / "encoder.xml", compress_to_fp16=False)
        try:
            made.rename(kept)
        except OSError:
            if not kept.is_dir():  # another process was faster
                raise
