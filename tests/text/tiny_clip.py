"""A CLIP of a few thousand random weights, and encoders whose two sides agree by construction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sam_plugins.text.clip import ClipEncoder

COLOURS = {"red": (230, 10, 10), "green": (10, 200, 30), "blue": (10, 40, 230)}


def tiny_clip() -> ClipEncoder:
    """A randomly initialised CLIP of ``transformers``, with letters as its tokens."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    end = vocabulary["<|endoftext|>"]
    shape = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2
    }  # fmt: skip
    text = {
        "vocab_size": len(words), "max_position_embeddings": 77, "eos_token_id": end,
        "bos_token_id": end - 1, "pad_token_id": end,
    }  # fmt: skip
    config = CLIPConfig(
        text_config={**shape, **text},
        vision_config={**shape, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(config)
    return ClipEncoder(model, CLIPTokenizer(vocab=vocabulary, merges=[]), name="tiny")


class AlignedEncoder(ClipEncoder):
    """Texts are names of colours, crops are told by the colour in their middle: both agree."""

    name = "aligned"

    def __init__(self) -> None:
        pass

    @property
    def width(self) -> int:  # type: ignore[override]
        return 3

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return unit(np.array([COLOURS.get(text, (128, 128, 128)) for text in texts]))

    def images(
        self, crops: Sequence[NDArray[np.uint8]], *, batch_size: int = 16
    ) -> NDArray[np.float32]:
        return unit(np.array([crop[len(crop) // 2, len(crop) // 2] for crop in crops]))


def unit(colours: NDArray[np.integer]) -> NDArray[np.float32]:
    """Colours as vectors of length one, apart from their common grey."""
    away = colours.astype(np.float32) - 90
    return away / np.linalg.norm(away, axis=1, keepdims=True)
