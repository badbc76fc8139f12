"""``Predictor``: encode an image once, then answer any number of prompts from the embedding.

A predictor holds a model, not an image: ``predict(embedding, prompt)`` is a function of its
arguments, so that many people and threads can share one model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.devices import in_shrinking_batches
from sam_plugins.embedder import Embedder
from sam_plugins.embedding import ImageEmbedding
from sam_plugins.errors import InvalidPromptError, SamPluginsError
from sam_plugins.prediction import Prediction
from sam_plugins.prompt_tensors import form_of, prompt_tensors
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from torch import Tensor

# Prompts that the mask decoder answers at once. Few on a CPU, where the activations of a handful
# of prompts (about 40 MB each) still profit from the caches; many on a GPU, which they fill.
CPU_PROMPTS_PER_BATCH = 4
GPU_PROMPTS_PER_BATCH = 64


class Predictor(Embedder):
    """Segment Anything on images as scientists and annotators have them.

    Parameters
    ----------
    model : str, path-like or Sam
        A model's name (``"lite"`` ships with the package, the others are downloaded once), the
        path or URL of a checkpoint, or a model that was built already.
    device : str
        ``"auto"`` (CUDA, then MPS, then CPU) or a torch device.
    precision : str
        Precision of the image encoder: ``"auto"``, ``"float32"``, ``"bfloat16"``, ``"float16"``;
        for ViTs on a CPU also ``"int8"`` and ``"openvino"``, which are faster and coarser.
    cache : EmbeddingCache, optional
        Where embeddings are kept. By default in this process's memory only; pass
        ``EmbeddingCache()`` to keep them on disk as well.
    cuda_graphs : bool
        On a CUDA GPU, from the second call of a shape on, replay the kernels of the encoder and of
        the mask decoder together: faster, and the memory that they compute in stays taken. Off by
        default, until it has been measured on the cards in use.
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

    @property
    def prompts_per_batch(self) -> int:
        """How many prompts the mask decoder answers at once; bounds the memory it takes."""
        return CPU_PROMPTS_PER_BATCH if self.device.type == "cpu" else GPU_PROMPTS_PER_BATCH

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
        return self.predict_many([(embedding, prompt) for prompt in prompts], multimask=multimask)

    def predict_many(
        self,
        questions: Sequence[tuple[ImageEmbedding, Prompt]],
        *,
        multimask: bool | None = None,
    ) -> list[Prediction]:
        """Answer prompts about any images, those of one form in one call of the decoder.

        Parameters
        ----------
        questions : sequence of (ImageEmbedding, Prompt)
            What `predict` takes, any number of times.
        multimask : bool, optional
            See `predict`; by default decided for each prompt.

        Returns
        -------
        list of Prediction
            One a question, in order; the same as from `predict` one by one.
        """
        for embedding, prompt in questions:
            self.check(embedding, prompt)
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for index, (_, prompt) in enumerate(questions):
            many = prompt.count == 1 if multimask is None else multimask
            groups[(*form_of(prompt), many)].append(index)
        answers: dict[int, Prediction] = {}
        for form, indices in groups.items():
            members = [questions[index] for index in indices]
            decoded = self._decode(members, multimask=form[-1])
            for index, (logits, predicted_iou) in zip(indices, decoded, strict=True):
                answers[index] = Prediction(
                    low_resolution_logits=logits,
                    predicted_iou=predicted_iou,
                    frame=questions[index][0].frame,
                    threshold=self.model.mask_threshold,
                )
        return [answers[index] for index in range(len(questions))]

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
        logits, predicted_iou = self.decode_tensors(embedding, prompts, multimask=multimask)
        return logits.cpu().numpy(), predicted_iou.cpu().numpy()

    def decode_tensors(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompt], *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Run the mask decoder as `decode` does, and leave the answers on the device.

        Parameters
        ----------
        embedding, prompts, multimask
            See `decode`.

        Returns
        -------
        logits : Tensor of shape (B, K, h, w), float32
            Low-resolution logits.
        predicted_iou : Tensor of shape (B, K), float32
        """
        import torch

        questions = [(embedding, prompt) for prompt in prompts]
        logits, predicted_iou = zip(
            *self._decode(questions, multimask=multimask, to_host=False), strict=True
        )
        return torch.stack(logits), torch.stack(predicted_iou)

    def _decode(
        self,
        questions: Sequence[tuple[ImageEmbedding, Prompt]],
        *,
        multimask: bool,
        to_host: bool = True,
    ) -> list[tuple[Any, Any]]:
        """Logits (K, h, w) and predicted IoUs (K,) of each question, as arrays or tensors."""
        import torch

        def run(batch: Sequence[tuple[ImageEmbedding, Prompt]]) -> list[tuple[Any, Any]]:
            with torch.inference_mode():
                answers = self._decode_batch(self._padded(batch), multimask=multimask)
            pair: tuple[Any, ...] = tuple(each[: len(batch)].float() for each in answers)
            if to_host:
                pair = tuple(each.cpu().numpy() for each in pair)
            return list(zip(*pair, strict=True))

        return in_shrinking_batches(questions, run, batch_size=self.prompts_per_batch)

    def _padded(
        self, batch: Sequence[tuple[ImageEmbedding, Prompt]]
    ) -> Sequence[tuple[ImageEmbedding, Prompt]]:
        """Repeat the last question, where decoding is recorded, until the batch is of few sizes."""
        from sam_plugins.modeling.graphs import padded_count

        if not self._records_decoding:
            return batch
        return [*batch, *[batch[-1]] * (padded_count(len(batch)) - len(batch))]

    @property
    def _records_decoding(self) -> bool:
        return self.cuda_graphs and self.model.decode_is_recordable

    def _decode_batch(
        self, batch: Sequence[tuple[ImageEmbedding, Prompt]], *, multimask: bool
    ) -> tuple[Tensor, ...]:
        """Logits (B, K, h, w) and predicted IoUs (B, K)."""
        features = self._features([embedding for embedding, _ in batch])
        frames = [embedding.frame for embedding, _ in batch]
        given = prompt_tensors([prompt for _, prompt in batch], frames, self.device)
        prompts = (given["points"], given["labels"], given["boxes"], given["mask_logits"])
        if not self._records_decoding:
            return self._run_decoder(*prompts, *features, multimask=multimask)
        return self._graphs.run(self._run_decoder, *prompts, *features, multimask=multimask)

    def _run_decoder(
        self,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        mask_logits: Tensor | None,
        *features: Tensor,
        multimask: bool,
    ) -> tuple[Tensor, ...]:
        """Decode prompts, as `Sam.decode` takes them, about feature maps (1 or B, C, h, w)."""
        with self._autocast():
            return self.model.decode(
                features,
                points=points,
                labels=labels,
                boxes=boxes,
                mask_logits=mask_logits,
                multimask=multimask,
            )

    def _features(self, embeddings: Sequence[ImageEmbedding]) -> tuple[Tensor, ...]:
        """Maps of the one image that all prompts are about, or of one image a prompt."""
        import torch

        if all(each is embeddings[0] for each in embeddings):
            return embeddings[0].to(self.device).features
        maps = zip(*(each.to(self.device).features for each in embeddings), strict=True)
        return tuple(torch.cat(each) for each in maps)

    def check(self, embedding: ImageEmbedding, prompt: Prompt) -> None:
        """Check that a prompt can be answered.

        Parameters
        ----------
        embedding : ImageEmbedding
        prompt : Prompt

        Raises
        ------
        InvalidPromptError, SamPluginsError
            See `predict`.
        """
        if embedding.weights_hash != self.weights_hash:
            raise SamPluginsError(
                f"the embedding was made by the model {embedding.model_name!r} with other weights "
                f"than this predictor's {self.model.name!r}: embed the image again"
            )
        if prompt.empty:
            raise InvalidPromptError("the prompt is empty: give points, boxes, a mask or text")
        if prompt.text is not None:
            raise InvalidPromptError(
                f"the model {self.model.name!r} does not understand text prompts by itself: "
                "give points, boxes or a mask, or ask sam_plugins.text.finding.TextFinder"
            )
        prompt.check_inside(embedding.frame.image_size)
