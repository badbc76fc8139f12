"""``Predictor``: encode an image once, then answer any number of prompts from the embedding.

A predictor holds a model, not an image: ``predict(embedding, prompt)`` is a function of its
arguments, so that many people and threads can share one model.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.devices import choose_device, choose_precision, in_shrinking_batches
from sam_plugins.embedding import ImageEmbedding
from sam_plugins.errors import InvalidPromptError, SamPluginsError
from sam_plugins.frames import Frame
from sam_plugins.images import Normalization, Planes, content_key, read_image, to_rgb
from sam_plugins.prediction import Prediction
from sam_plugins.prompt_tensors import form_of, prompt_tensors
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sam_plugins.cache import EmbeddingCache
    from sam_plugins.modeling.sam import Sam

# Prompts that the mask decoder answers at once. Few on a CPU, where the activations of a handful
# of prompts (about 40 MB each) still profit from the caches; many on a GPU, which they fill.
CPU_PROMPTS_PER_BATCH = 4
GPU_PROMPTS_PER_BATCH = 64


class Predictor:
    """Segment Anything on images as scientists and annotators have them.

    Parameters
    ----------
    model : str, path-like or Sam
        A model's name (``"lite"`` ships with the package, the others are downloaded once), the
        path or URL of a checkpoint, or a model that was built already.
    device : str
        ``"auto"`` (CUDA, then MPS, then CPU) or a torch device.
    precision : str
        Precision of the image encoder: ``"auto"``, ``"float32"``, ``"bfloat16"``, ``"float16"``.
    cache : EmbeddingCache, optional
        Where embeddings are kept. By default in this process's memory only; pass
        ``EmbeddingCache()`` to keep them on disk as well.
    progress : callable, optional
        Called with (done, total) bytes while a checkpoint is downloaded.

    Raises
    ------
    CheckpointNotFoundError, CheckpointError, DownloadError
        If the model cannot be had.
    ValueError
        If the device or the precision is not available.

    Examples
    --------
    >>> import skimage
    >>> predictor = Predictor("lite")
    >>> embedding = predictor.embed(skimage.data.coins())
    >>> prediction = predictor.predict(embedding, Prompt(points=[[180, 60]]))
    >>> prediction.masks.shape
    (3, 303, 384)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Sam = "lite",
        *,
        device: str = "auto",
        precision: str = "auto",
        cache: EmbeddingCache | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        from sam_plugins.cache import EmbeddingCache
        from sam_plugins.checkpoints import load_model

        self.device = choose_device(device)
        self.precision = choose_precision(self.device, precision)
        if isinstance(model, str | os.PathLike):
            model = load_model(model, device=str(self.device), progress=progress)
        self.model = model.to(self.device).eval()
        self.cache = EmbeddingCache(disk_bytes=0) if cache is None else cache
        # One encoding at a time: two at once would double the peak memory and gain no speed.
        self._encoding = threading.Lock()

    @cached_property
    def weights_hash(self) -> str:
        """Identity of the model's weights, which must not change while the predictor lives."""
        from sam_plugins.checkpoints import hash_weights

        return self.model.weights_hash or hash_weights(self.model)

    @property
    def prompts_per_batch(self) -> int:
        """How many prompts the mask decoder answers at once; bounds the memory it takes."""
        return CPU_PROMPTS_PER_BATCH if self.device.type == "cpu" else GPU_PROMPTS_PER_BATCH

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

    # ---- images ----------------------------------------------------------------------------

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
        with self._autocast():
            return self.model.encode(batch)

    def _autocast(self, *, enabled: bool = True) -> torch.autocast:
        import torch

        dtype = torch.bfloat16 if self.precision == "float32" else getattr(torch, self.precision)
        enabled = enabled and self.precision != "float32"
        return torch.autocast(self.device.type, dtype=dtype, enabled=enabled)

    # ---- prompts ---------------------------------------------------------------------------

    def predict(
        self, embedding: ImageEmbedding, prompt: Prompt, *, multimask: bool | None = None
    ) -> Prediction:
        """Answer one prompt about an embedded image.

        Parameters
        ----------
        embedding : ImageEmbedding
            Of the image, made by a predictor with the same model.
        prompt : Prompt
            Coordinates in pixels of the original image.
        multimask : bool, optional
            Three candidate masks (True) or one (False). By default three if the prompt is a single
            hint, which may be ambiguous, and one if it is more (paper, §A).

        Returns
        -------
        Prediction

        Raises
        ------
        InvalidPromptError
            If the prompt is empty, outside the image, or of a kind that the model lacks.
        SamPluginsError
            If the embedding was made by another model.
        """
        return self.predict_batch(embedding, [prompt], multimask=multimask)[0]

    def predict_batch(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompt],
        *,
        multimask: bool | None = None,
    ) -> list[Prediction]:
        """Answer several prompts about one image, each by itself.

        Parameters
        ----------
        embedding : ImageEmbedding
            See `predict`.
        prompts : sequence of Prompt
            One mask, or one set of candidates, is predicted for each.
        multimask : bool, optional
            See `predict`; by default decided for each prompt.

        Returns
        -------
        list of Prediction
            One a prompt, in order; the same as from `predict` one by one.
        """
        self._check(embedding, prompts)
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for index, prompt in enumerate(prompts):
            many = prompt.count == 1 if multimask is None else multimask
            groups[(*form_of(prompt), many)].append(index)
        answers: dict[int, Prediction] = {}
        for form, indices in groups.items():
            members = [prompts[index] for index in indices]
            logits, predicted_iou = self.decode(embedding, members, multimask=form[-1])
            for position, index in enumerate(indices):
                answers[index] = Prediction(
                    low_resolution_logits=logits[position],
                    predicted_iou=predicted_iou[position],
                    frame=embedding.frame,
                    threshold=self.model.mask_threshold,
                )
        return [answers[index] for index in range(len(prompts))]

    def decode(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompt], *, multimask: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the mask decoder on prompts of one form (as many points and boxes in each).

        Parameters
        ----------
        embedding : ImageEmbedding
            See `predict`.
        prompts : sequence of Prompt
            B prompts, all with as many points, as many boxes, and all or none with a mask.
        multimask : bool
            Three masks a prompt (True) or one (False).

        Returns
        -------
        logits : ndarray of shape (B, K, h, w), float32
            Low-resolution logits.
        predicted_iou : ndarray of shape (B, K), float32
        """
        import torch

        features = embedding.to(self.device).features

        def run(batch: Sequence[Prompt]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
            half = self._autocast(enabled=self.model.decodes_in_half)
            with torch.inference_mode(), half:
                logits, predicted_iou = self.model.decode(
                    features,
                    **prompt_tensors(batch, embedding.frame, self.device),
                    multimask=multimask,
                )
            pair = logits.float().cpu().numpy(), predicted_iou.float().cpu().numpy()
            return list(zip(*pair, strict=True))

        answers = in_shrinking_batches(prompts, run, batch_size=self.prompts_per_batch)
        return np.stack([logits for logits, _ in answers]), np.stack([iou for _, iou in answers])

    def _check(self, embedding: ImageEmbedding, prompts: Sequence[Prompt]) -> None:
        if embedding.weights_hash != self.weights_hash:
            raise SamPluginsError(
                f"the embedding was made by the model {embedding.model_name!r} with other weights "
                f"than this predictor's {self.model.name!r}: embed the image again"
            )
        for prompt in prompts:
            if prompt.empty:
                raise InvalidPromptError("the prompt is empty: give points, boxes, a mask or text")
            if prompt.text is not None:
                raise InvalidPromptError(
                    f"the model {self.model.name!r} does not understand text prompts: "
                    "give points, boxes or a mask"
                )
            prompt.check_inside(embedding.frame.image_size)
