"""What the two-way transformer computes of an image alone, kept for all prompts about it.

Until the first layer's last step, the image tokens know nothing of the prompt, and their positions
never do. On a CPU, where a click costs as much as it multiplies, all of that is done once an image;
with a prompt, only what depends on both is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from sam_plugins.modeling.image_tokens import ImageTokens, same
from sam_plugins.modeling.two_way_transformer import (
    Attention,
    TwoWayAttentionBlock,
    TwoWayTransformer,
)


@dataclass(frozen=True, eq=False)
class ImageSide:
    """The image's part of the work.

    Parameters
    ----------
    transformer : TwoWayTransformer
    tokens : ImageTokens
        The image tokens that all this was made of.
    weights : tuple of Tensor
        Copies of the weights that it was made with.
    first : tuple of Tensor
        Keys (heads, d, N) and values (heads, N, d) of the first layer's attention to the image, and
        queries (heads, d, N) of the image's attention to the tokens.
    position_keys, position_queries : tuple of Tensor of shape (heads, d, N)
        What the positions add to the keys and queries of the image tokens in each later attention;
        the last of the keys are those of the final attention.
    """

    transformer: TwoWayTransformer
    tokens: ImageTokens
    weights: tuple[Tensor, ...]
    first: tuple[Tensor, Tensor, Tensor]
    position_keys: tuple[Tensor, ...]
    position_queries: tuple[Tensor, ...]

    @classmethod
    def of(cls, transformer: TwoWayTransformer, tokens: ImageTokens) -> ImageSide:
        """Compute the image's part.

        Parameters
        ----------
        transformer : TwoWayTransformer
            Whose `few` tokens are to come.
        tokens : ImageTokens
            Of the image.

        Returns
        -------
        ImageSide
        """
        # Made in inference mode it could be neither copied nor compared outside.
        with torch.inference_mode(False), torch.no_grad():
            weights = tuple(x.clone() for x in _weights(transformer))
            keys, positions = tokens.keys[0], tokens.positions
            first, *later = cast(list[TwoWayAttentionBlock], list(transformer.layers))
            located = keys + positions
            to_image, to_tokens = first.cross_attn_token_to_image, first.cross_attn_image_to_token
            readers = [layer.cross_attn_token_to_image for layer in later]
            readers.append(transformer.final_attn_token_to_image)
            writers = [layer.cross_attn_image_to_token for layer in later]
            return cls(
                transformer,
                tokens,
                weights,
                (
                    _by_head(to_image, to_image.k_proj(located)),
                    _by_head(to_image, to_image.v_proj(keys)).transpose(1, 2).contiguous(),
                    _by_head(to_tokens, to_tokens.q_proj(located)),
                ),
                # The keys' bias adds the same to all weights of a query; it does no harm.
                tuple(_by_head(each, each.k_proj(positions)) for each in readers),
                tuple(_by_head(each, each.q_proj(positions)) for each in writers),
            )

    def fits(self, transformer: TwoWayTransformer, tokens: ImageTokens) -> bool:
        """Tell whether this is what `of` would give.

        Parameters
        ----------
        transformer : TwoWayTransformer
        tokens : ImageTokens

        Returns
        -------
        bool
        """
        return (
            self.transformer is transformer
            and self.tokens is tokens
            and all(map(same, self.weights, _weights(transformer)))
        )

    def run(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Run the transformer for one prompt.

        Parameters
        ----------
        tokens : Tensor of shape (1, T, C)
            The output tokens and the prompt's tokens.

        Returns
        -------
        tokens : Tensor of shape (1, T, C)
        image_tokens : Tensor of shape (1, N, C)
        """
        layers = cast(list[TwoWayAttentionBlock], list(self.transformer.layers))
        final = self.transformer.final_attn_token_to_image
        queries, keys = tokens, self.tokens.keys
        for index, layer in enumerate(layers):
            queries = layer.attend_to_tokens(queries, tokens)
            attention = layer.cross_attn_token_to_image
            if index:
                found = _read(attention, queries + tokens, keys, self.position_keys[index - 1])
            else:
                found = _read_projected(attention, queries + tokens, *self.first[:2])
            queries = layer.norm2(queries + found)
            queries = layer.norm3(queries + layer.mlp(queries))
            attention = layer.cross_attn_image_to_token
            if index:
                scores = _ask(attention, queries + tokens, self.position_queries[index - 1], keys)
            else:
                scores = _ask(attention, queries + tokens, self.first[2])
            keys = layer.norm4(_write(attention, scores, queries, keys))
        found = _read(final, queries + tokens, keys, self.position_keys[-1])
        return self.transformer.norm_final_attn(queries + found), keys


def _weights(transformer: TwoWayTransformer) -> tuple[Tensor, ...]:
    """Of what the image's part is made, beside maps."""
    layers = cast(list[TwoWayAttentionBlock], list(transformer.layers))
    readers = [layer.cross_attn_token_to_image for layer in layers]
    readers.append(transformer.final_attn_token_to_image)
    projections = [each.k_proj for each in readers] + [readers[0].v_proj]
    projections += [layer.cross_attn_image_to_token.q_proj for layer in layers]
    return tuple(x for each in projections for x in (each.weight, each.bias))


def _by_head(attention: Attention, x: Tensor) -> Tensor:
    """Separate the heads, channels first: (N, inner) to (heads, d, N)."""
    return x.T.unflatten(0, (attention.num_heads, -1)).contiguous()


def _heads(attention: Attention, x: Tensor) -> Tensor:
    """Separate the heads of one prompt's tokens: (1, T, inner) to (heads, T, d)."""
    return x[0].unflatten(-1, (attention.num_heads, -1)).transpose(0, 1)


def _joined(attention: Attention, heads: Tensor) -> Tensor:
    """Put heads (heads, T, d) together and map them to (1, T, C)."""
    return attention.out_proj(heads.transpose(0, 1).flatten(1)[None])


def _read_projected(attention: Attention, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attend from tokens (1, T, C) to projected image tokens."""
    q = _heads(attention, attention.q_proj(q)) * attention.scale  # (heads, T, d)
    return _joined(attention, (q @ keys).softmax(-1) @ values)


def _read(attention: Attention, q: Tensor, image: Tensor, positions: Tensor) -> Tensor:
    """Attend from tokens (1, T, C) to image tokens (1, N, C) as they are: (W k) q = k (W^T q)."""
    q = _heads(attention, attention.q_proj(q)) * attention.scale  # (heads, T, d)
    through = (q @ attention.heads_of(attention.k_proj)).flatten(0, 1)  # (heads * T, C)
    scores = _plus(through @ image[0].T, q @ positions)  # (heads * T, N)
    found = (scores.softmax(-1) @ image[0]).unflatten(0, (attention.num_heads, -1))
    heads = found @ attention.heads_of(attention.v_proj).transpose(1, 2)  # (heads, T, d)
    bias = attention.v_proj.bias.unflatten(0, (attention.num_heads, 1, -1))
    return _joined(attention, heads + bias)


def _ask(attention: Attention, k: Tensor, queries: Tensor, image: Tensor | None = None) -> Tensor:
    """Scores of image tokens for tokens (1, T, C): (heads, T, N).

    From projected queries, or from those of the positions and the image tokens as they are.
    """
    k = _heads(attention, attention.k_proj(k)) * attention.scale  # (heads, T, d)
    scores = k @ queries  # (heads, T, N)
    if image is None:
        return scores
    through = (k @ attention.heads_of(attention.q_proj)).flatten(0, 1)  # (heads * T, C)
    return _plus(through @ image[0].T, scores).view_as(scores)


def _plus(product: Tensor, by_head: Tensor) -> Tensor:
    """Add (heads, T, N) to a product (heads * T, N), in place.

    MKL takes twice as long for the product of so few rows if it is to add to something.
    """
    return product.add_(by_head.flatten(0, 1))


def _write(attention: Attention, scores: Tensor, v: Tensor, image: Tensor) -> Tensor:
    """Add what image tokens find in tokens (1, T, C) to them: (1, N, C)."""
    out = attention.out_proj.weight.unflatten(1, (attention.num_heads, -1)).permute(1, 2, 0)
    values = (_heads(attention, attention.v_proj(v)) @ out).flatten(0, 1)  # (heads * T, C)
    # Of the weights of a head's tokens, which sum up to 1, each brings its share of the bias.
    values = values + attention.out_proj.bias / attention.num_heads
    weights = scores.softmax(1).flatten(0, 1)  # (heads * T, N)
    return torch.addmm(image[0], weights.T, values)[None]
