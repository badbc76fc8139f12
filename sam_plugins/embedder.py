"""``Embedder``: encodes images, each once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.devices import (
    CPU_ONLY,
    choose_device,
    choose_precision,
    give_back_memory,
    in_shrinking_batches,
    reuse_memory,
)
from sam_plugins.embedding import ImageEmbedding
from sam_plugins.frames import Frame
from sam_plugins.images import Normalization, Planes, content_key, read_image, to_rgb

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sam_plugins.cache import EmbeddingCache
    from sam_plugins.modeling.sam import Sam

# CUDA graphs that are kept: of a few sizes of a batch of images, and a few kinds and numbers of
# prompts. They compute in the same memory; each holds what goes in and comes out.
MOST_GRAPHS = 12
# Frames from which on an encoder leaves hundreds of megabytes behind. To give them back takes 3 to
# 16 ms, which is nothing beside encoding such a frame.
LARGE_FRAME = 1024


class Embedder:
    """A model that encodes images, with a cache of what it encoded; see `Predictor`.

    Parameters
    ----------
    model, device, precision, cache, cuda_graphs, progress
        As for `Predictor`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Sam = "lite",
        *,
        device: str = "auto",
        precision: str = "auto",
        cache: EmbeddingCache | None = None,
        cuda_graphs: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        from sam_plugins.cache import EmbeddingCache
        from sam_plugins.checkpoints import load_model
        from sam_plugins.modeling.graphs import Graphs

        self.device = choose_device(device)
        if self.device.type == "cpu":
            reuse_memory()
        choose_precision(self.device, precision)  # an error comes before a download
        if isinstance(model, str | os.PathLike):
            model = load_model(model, device=str(self.device), progress=progress)
        self.model = model.to(self.device).eval()
        self.precision = self._resolved(precision)
        self.cache = EmbeddingCache(disk_bytes=0) if cache is None else cache
        self.cuda_graphs = cuda_graphs and self.device.type == "cuda"
        self._graphs = Graphs(MOST_GRAPHS if self.cuda_graphs else 0)
        # One encoding at a time: two at once would double the peak memory and gain no speed.
        self._encoding = threading.Lock()
        self._encoder = self._other_encoder()

    @cached_property
    def weights_hash(self) -> str:
        """Identity of the model's weights, which must not change while the predictor lives."""
        from sam_plugins.checkpoints import hash_weights

        return self.model.weights_hash or hash_weights(self.model)

    def frame_of(self, image_size: tuple[int, int]) -> Frame:
        """Tell how an image lies in this model's frame.

        Parameters
        ----------
        image_size : tuple of int
            (H, W), in pixels.

        Returns
        -------
        Frame
        """
        return Frame(image_size, self.model.frame_size, self.model.low_resolution_stride)

    def embed(
        self,
        image: Any,
        *,
        normalization: Normalization | None = None,
        channel_axis: int | None = None,
    ) -> ImageEmbedding:
        """Encode an image, or take its embedding from the cache.

        Parameters
        ----------
        image : array-like or path-like
            Any image that `sam_plugins.images.to_rgb` takes, or a file.
        normalization : Normalization, optional
            How values become 8-bit RGB; by default 8-bit values as they are, others by percentiles.
        channel_axis : int, optional
            The axis of the channels, if it cannot be told from the shape.

        Returns
        -------
        ImageEmbedding
            On this predictor's device. The same object may be given to several callers.

        Raises
        ------
        InvalidImageError
            If the image is empty, has no finite value, or a shape that cannot be an image.
        """
        return self.embed_batch([image], normalization=normalization, channel_axis=channel_axis)[0]

    def embed_batch(
        self,
        images: Sequence[Any],
        *,
        batch_size: int = 1,
        normalization: Normalization | None = None,
        channel_axis: int | None = None,
    ) -> list[ImageEmbedding]:
        """Encode several images, ``batch_size`` at a time, those in the cache not again.

        Parameters
        ----------
        images : sequence
            See `embed`.
        batch_size : int
            Images that the encoder takes at once. Halved when the GPU's memory does not suffice.
        normalization, channel_axis
            See `embed`.

        Returns
        -------
        list of ImageEmbedding
            One an image, in order.
        """
        settings = normalization or Normalization()

        def embed_some(batch: Sequence[Any]) -> list[ImageEmbedding]:
            planes = [
                Planes.loaded(
                    read_image(image) if isinstance(image, str | os.PathLike) else image,
                    normalization=settings,
                    channel_axis=channel_axis,
                )
                for image in batch
            ]
            keys = [content_key(each, normalization=settings) for each in planes]

            def encode(indices: Sequence[int]) -> list[ImageEmbedding]:
                return self.encode_rgb(
                    [to_rgb(planes[index], normalization=settings) for index in indices],
                    content_keys=[keys[index] for index in indices],
                    normalization_key=settings.key(),
                )

            return self._through_cache(keys, settings.key(), encode)

        return in_shrinking_batches(list(images), embed_some, batch_size=batch_size)

    def _through_cache(
        self,
        keys: Sequence[str],
        normalization_key: str,
        encode: Callable[[Sequence[int]], list[ImageEmbedding]],
    ) -> list[ImageEmbedding]:
        from sam_plugins.cache import embedding_key

        names = [
            embedding_key(
                content_key=key,
                weights_hash=self.weights_hash,
                normalization_key=normalization_key,
                frame_size=self.model.frame_size,
                precision=self.precision,
            )
            for key in keys
        ]
        fresh: dict[str, ImageEmbedding] = {}
        if len(names) > 1:
            missing = {name: index for index, name in enumerate(names) if name not in self.cache}
            if missing:
                fresh = dict(zip(missing, encode(list(missing.values())), strict=True))
        found = [
            self.cache.get_or_compute(
                name,
                lambda name=name, index=index: fresh.get(name) or encode([index])[0],  # type: ignore[misc]
            )
            for index, name in enumerate(names)
        ]
        return [embedding.to(self.device) for embedding in found]

    def encode_rgb(
        self,
        images: Sequence[NDArray[np.uint8]],
        *,
        content_keys: Sequence[str] | None = None,
        normalization_key: str = "",
    ) -> list[ImageEmbedding]:
        """Encode 8-bit RGB images in one batch, without looking into the cache.

        Parameters
        ----------
        images : sequence of ndarray of shape (H, W, 3), uint8
            RGB; the sizes may differ.
        content_keys : sequence of str, optional
            The images' identities, kept in the embeddings.
        normalization_key : str
            How the images were normalised, kept in the embeddings.

        Returns
        -------
        list of ImageEmbedding
        """
        import torch

        frames = [self.frame_of((image.shape[0], image.shape[1])) for image in images]
        resized = [frame.resize_image(image) for frame, image in zip(frames, images, strict=True)]
        with self._encoding, torch.inference_mode():
            batch = torch.stack([self._to_input(image) for image in resized])  # (B, 3, F, F)
            features = self._encode(batch)
        if self.device.type == "cpu" and self.model.frame_size >= LARGE_FRAME:
            give_back_memory()
        keys = content_keys or [""] * len(images)
        return [
            ImageEmbedding(
                features=tuple(feature[index : index + 1].float() for feature in features),
                frame=frame,
                model_name=self.model.name,
                weights_hash=self.weights_hash,
                content_key=key,
                normalization_key=normalization_key,
                precision=self.precision,
            )
            for index, (frame, key) in enumerate(zip(frames, keys, strict=True))
        ]

    def _to_input(self, image: NDArray[np.uint8]) -> Tensor:
        import torch

        # np.array copies: torch must not see read-only memory.
        pixels = torch.from_numpy(np.array(image)).to(self.device)
        return self.model.preprocess(pixels.permute(2, 0, 1).float())  # (3, F, F)

    def _encode(self, batch: Tensor) -> tuple[Tensor, ...]:
        return self._graphs.run(self._run_encoder, batch)

    def _run_encoder(self, batch: Tensor) -> tuple[Tensor, ...]:
        with self._autocast():
            return (self._encoder(batch),) if self._encoder else self.model.encode(batch)

    def _other_encoder(self) -> Callable[[Tensor], Tensor] | None:
        """What stands for the model's own image encoder, if the precision is not only a dtype."""
        if self.precision == "int8":
            from sam_plugins.modeling.int8 import quantized

            return quantized(self.model.image_encoder)
        if self.precision == "openvino":
            from sam_plugins.checkpoints.locations import translations_directory
            from sam_plugins.modeling.configs import LiteConfig
            from sam_plugins.modeling.openvino_encoder import OpenVinoEncoder

            if isinstance(self.model.config.encoder, LiteConfig):
                raise ValueError(
                    "the precision 'openvino' is for encoders that give one map: use 'auto'"
                )
            return OpenVinoEncoder(
                self.model.image_encoder,
                frame_size=self.model.frame_size,
                folder=translations_directory(),
                name=self.weights_hash,
                half=self._dtype is not None,
            )
        return None

    @cached_property
    def _dtype(self) -> torch.dtype | None:
        """The dtype of half precision, if any."""
        import torch

        # What is for a CPU only is of the encoder alone.
        word = "auto" if self.precision in CPU_ONLY else self.precision
        name = self._resolved(word)
        return None if name == "float32" else getattr(torch, name)

    def _resolved(self, precision: str) -> str:
        """The precision that a word stands for with this model, see `Sam.half_suits_cpu`."""
        if precision == "auto" and self.device.type == "cpu" and not self.model.half_suits_cpu:
            return "float32"
        return choose_precision(self.device, precision)

    def _autocast(self) -> torch.autocast:
        import torch

        dtype = self._dtype
        return torch.autocast(
            self.device.type,
            dtype=dtype or torch.bfloat16,
            enabled=bool(dtype),
            # A weight that was cast for one graph is not there for another.
            cache_enabled=not self.cuda_graphs,
        )
