"""Text prompts by a model trained for them (paper, §D.5): a text is one sparse prompt token."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.embedding import ImageEmbedding
from sam_plugins.errors import CheckpointError, CheckpointNotFoundError, InvalidPromptError
from sam_plugins.files import atomic_path
from sam_plugins.prediction import Prediction
from sam_plugins.prompt_tensors import prompt_tensors
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from sam_plugins.modeling.sam import Sam
    from sam_plugins.modeling.text_projection import TextProjection
    from sam_plugins.text.clip import ClipEncoder

FORMAT = "sam-plugins text prompts 1"


class TextTrained:
    """A model, a text encoder, and the projection between them.

    Parameters
    ----------
    model : Sam
        Its image encoder and mask decoder are used as they are; the prompt encoder is copied, so
        that it can be tuned without a change to the model.
    encoder : ClipEncoder
        Of texts and crops.
    projection : TextProjection, optional
        By default a fresh one.
    """

    def __init__(
        self, model: Sam, encoder: ClipEncoder, projection: TextProjection | None = None
    ) -> None:
        from sam_plugins.modeling.text_projection import TextProjection

        # A shallow copy of a module has a dictionary of parts of its own.
        self.model = copy.copy(model)
        self.model._modules = dict(model._modules)
        self.model.prompt_encoder = copy.deepcopy(model.prompt_encoder)
        self.encoder = encoder
        self.projection = projection or TextProjection(encoder.width, token_width(model))
        self.projection.to(model.device)

    def tokens(self, vectors: NDArray[np.float32]) -> Tensor:
        """Project vectors of the encoder.

        Parameters
        ----------
        vectors : ndarray of shape (B, D), float32
            Of texts or of crops.

        Returns
        -------
        Tensor of shape (B, 1, C)
        """
        import torch

        return self.projection(torch.from_numpy(vectors).to(self.model.device))

    def predict(
        self, embedding: ImageEmbedding, prompt: Prompt, *, multimask: bool = False
    ) -> Prediction:
        """Answer a prompt with a text and, to refine its mask, points or the mask.

        Parameters
        ----------
        embedding : ImageEmbedding
            Made by a predictor with the same model.
        prompt : Prompt
            With a text; points, boxes and a mask beside it are refinements.
        multimask : bool
            Three masks or one.

        Returns
        -------
        Prediction

        Raises
        ------
        InvalidPromptError
            If there is no text, or it is too long for the encoder.
        """
        import torch

        if prompt.text is None:
            raise InvalidPromptError("the prompt has no text: give Prompt(text=...)")
        prompt.check_inside(embedding.image_size)
        vector = self.encoder.texts([prompt.text])
        with torch.inference_mode():
            given = prompt_tensors([prompt], [embedding.frame], self.model.device)
            logits, iou = self.model.decode(
                embedding.to(self.model.device).features,
                **given,
                text_tokens=self.tokens(vector),
                multimask=multimask,
            )
        return Prediction(
            low_resolution_logits=logits[0].float().cpu().numpy(),
            predicted_iou=iou[0].float().cpu().numpy(),
            frame=embedding.frame,
            threshold=self.model.mask_threshold,
        )

    def refine(
        self,
        embedding: ImageEmbedding,
        prompt: Prompt,
        points: Sequence[Any],
        labels: Sequence[int],
    ) -> Prediction:
        """Answer a text, then correct the answer by points, as in training.

        Parameters
        ----------
        embedding : ImageEmbedding
            See `predict`.
        prompt : Prompt
            With a text.
        points : sequence of (float, float)
            x then y, in pixels of the image.
        labels : sequence of int
            1 for foreground, 0 for background.

        Returns
        -------
        Prediction
        """
        first = self.predict(embedding, prompt)
        more = replace(prompt, points=points, labels=labels)  # type: ignore[arg-type]
        return self.predict(embedding, first.refine(more))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the projection and the prompt encoder, whole or not at all.

        Parameters
        ----------
        path : path-like
            A .safetensors file; it also names the model and the encoder.
        """
        from safetensors.torch import save

        tensors = {f"projection.{k}": v for k, v in self.projection.state_dict().items()}
        tensors |= {f"prompt_encoder.{k}": v for k, v in self._prompt_weights().items()}
        told = {"format": FORMAT, "model": self.model.name, "encoder": self.encoder.name}
        content = save(
            {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()},
            {"text": json.dumps(told)},
        )
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)

    def _prompt_weights(self) -> dict[str, Tensor]:
        return self.model.prompt_encoder.state_dict()

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], model: Sam, *, encoder: ClipEncoder | None = None
    ) -> TextTrained:
        """Read what `save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        model : Sam
            The model that it was trained with.
        encoder : ClipEncoder, optional
            By default the one that the file names, downloaded if need be.

        Returns
        -------
        TextTrained

        Raises
        ------
        CheckpointNotFoundError
            If there is no such file.
        CheckpointError
            If it is damaged, something else, or of another model or encoder.
        """
        told, tensors = _read(path)
        name = Path(path).name
        if told["model"] != model.name:
            raise CheckpointError(
                f"{name} was trained with the model {told['model']!r}, not {model.name!r}"
            )
        if encoder is None:
            from sam_plugins.text.clip import ClipEncoder

            encoder = ClipEncoder.load(told["encoder"], device=str(model.device))
        made = cls(model, encoder)
        parts = {"projection.": made.projection, "prompt_encoder.": made.model.prompt_encoder}
        try:
            for prefix, part in parts.items():
                part.load_state_dict(
                    {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                )
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{name} does not fit {encoder.name!r}: {reason}") from error
        return made


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    name = Path(path).name
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise CheckpointNotFoundError(f"there are no text prompts at {os.fspath(path)}") from None
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        told = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["text"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{name} is damaged or holds no text prompts: {error}") from error
    if told.get("format") != FORMAT:
        raise CheckpointError(f"{name} holds no text prompts of this version")
    return told, tensors


def token_width(model: Sam) -> int:
    """Tell how wide a model's prompt tokens are.

    Parameters
    ----------
    model : Sam
        Any.

    Returns
    -------
    int
    """
    encoder = model.prompt_encoder
    # The small model's prompt encoder has one table of all kinds of tokens.
    kinds = getattr(encoder, "kinds", None)
    return int(encoder.embed_dim if kinds is None else kinds.embedding_dim)
