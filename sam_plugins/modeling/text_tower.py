"""``TextTower``: tells which of an image's candidate masks a phrase of a small vocabulary means.

A convolutional network looks at a crop of each candidate. On what it sees, and a few measurements
of place and size, every word of the vocabulary is a small learned function: an attribute ("red",
"striped", "on the left") gives each candidate a probability, a rank ("largest") a score by which
candidates compete, a relation ("above") a probability to each pair. A phrase puts its words
together as its grammar does: attributes multiply, a relation looks from the candidates of its
anchor, a rank chooses among what is left, a number compares with how many there are. Since words
are put together and not phrases remembered, combinations that were never trained work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.phrases import Phrase

# The logit of an attribute that was not asked for: everything has it.
CERTAIN = 20.0
# Logarithm of a probability that counts as none.
NEVER = -30.0
# Of the candidates' attributes, these are asked for by one word each.
ATTRIBUTES = ("size", "tone", "colour", "texture", "shape", "place")


@dataclass(frozen=True)
class TextTowerConfig:
    """What a tower is made of.

    Parameters
    ----------
    slots : tuple of (str, tuple of str)
        The vocabulary: the slots of `Phrase` and their values.
    measures : int
        Measurements a candidate; the first two are x and y as shares of the image's sides.
    width : int
        Of the features.
    channels : tuple of int
        Of the four convolutions.
    """

    slots: tuple[tuple[str, tuple[str, ...]], ...]
    measures: int
    width: int = 96
    channels: tuple[int, int, int, int] = (24, 32, 48, 64)


class TextTower(nn.Module):
    """The tower.

    Parameters
    ----------
    config : TextTowerConfig
        What it is made of.
    """

    def __init__(self, config: TextTowerConfig) -> None:
        super().__init__()
        self.config = config
        slots = dict(config.slots)
        self.attribute = {
            (slot, value): number
            for number, (slot, value) in enumerate(
                ((slot, value) for slot in ATTRIBUTES for value in slots[slot]), start=1
            )
        }
        self.slots = slots
        width, known = config.width, config.width + config.measures
        a, b, c, d = config.channels
        self.look = nn.Sequential(
            _step(4, a, stride=2),
            _step(a, b),
            _step(b, c, stride=2),
            _step(c, d, stride=2),
            nn.AvgPool2d(5),
            nn.Flatten(),
        )
        self.norm_measures = nn.BatchNorm1d(config.measures)
        self.features = nn.Sequential(
            nn.Linear(d + config.measures, width), nn.GELU(), nn.Linear(width, width)
        )
        # An object at all, then each attribute.
        self.attributes = _head(known, 1 + len(self.attribute))
        self.ranks = _head(known, len(slots["rank"]))
        self.pairs = nn.Sequential(nn.Linear(3, 32), nn.GELU(), nn.Linear(32, 5))
        self.count_sharpness = nn.Parameter(torch.tensor(8.0))

    def numbers(self, phrases: Sequence[Phrase]) -> Tensor:
        """Phrases as numbers of words.

        Parameters
        ----------
        phrases : sequence of Phrase
            Q phrases.

        Returns
        -------
        Tensor of shape (Q, 16), int64
            The count, the relation, then the rank and the attributes of the phrase, then those of
            its anchor; 0 where nothing was said.

        Raises
        ------
        ValueError
            If the tower does not have a word.
        """
        return torch.tensor([self._numbers(phrase) for phrase in phrases], dtype=torch.long)

    def _numbers(self, phrase: Phrase) -> list[int]:
        def index(slot: str, value: str | None) -> int:
            if value is None:
                return 0
            if value not in self.slots[slot]:
                raise ValueError(f"the tower has no {slot} {value!r}")
            return 1 + self.slots[slot].index(value)

        def own(each: Phrase) -> list[int]:
            said = [index("rank", each.rank)]
            for slot in ATTRIBUTES:
                value = getattr(each, slot)
                said.append(self.attribute[slot, value] if index(slot, value) else 0)
            return said

        count = 0 if phrase.count is None else int(phrase.count)
        anchor = phrase.anchor or Phrase()
        return [count, index("relation", phrase.relation), *own(phrase), *own(anchor)]

    def tokens(self, crops: Tensor, measures: Tensor) -> Tensor:
        """Look at candidates, each by itself.

        Parameters
        ----------
        crops : Tensor of shape (N, 4, 40, 40), uint8
            RGB and the mask, 0 .. 255.
        measures : Tensor of shape (N, M), float32
            See `sam_plugins.text.looks.Looks`.

        Returns
        -------
        Tensor of shape (N, C + M)
            Features, then normalised measurements.
        """
        seen = self.look(crops.float() / 127.5 - 1)
        told = self.norm_measures(measures)
        return torch.cat([self.features(torch.cat([seen, told], dim=1)), told], dim=1)

    def attribute_logits(self, tokens: Tensor) -> Tensor:
        """Give what each word says of candidates by themselves, for training.

        Parameters
        ----------
        tokens : Tensor of shape (..., C + M)
            From `tokens`.

        Returns
        -------
        Tensor of shape (..., 1 + attributes)
            Logits: whether it is an object at all, then the attributes in the order of
            ``attribute``; those of size are not yet compared with the other candidates.
        """
        return self.attributes(tokens)

    def forward(self, tokens: Tensor, centres: Tensor, present: Tensor, numbers: Tensor) -> Tensor:
        """Compare candidates, given phrases.

        Parameters
        ----------
        tokens : Tensor of shape (Q, N, C + M)
            The candidates of each question.
        centres : Tensor of shape (Q, N, 2)
            x then y, as shares of the image's sides.
        present : Tensor of shape (Q, N), bool
            False for padding.
        numbers : Tensor of shape (Q, 16), int64
            From `numbers`.

        Returns
        -------
        Tensor of shape (Q, N)
            Logarithms of the probability that the phrase means the candidate.
        """
        count, relation = numbers[:, 0], numbers[:, 1]
        own, anchor = numbers[:, 2:9], numbers[:, 9:]
        attributes = self._compared(self.attributes(tokens), present)
        ranks = functional.pad(self.ranks(tokens), (1, 0))  # (Q, N, 1 + ranks)
        found = _matches(attributes, own[:, 1:], present)
        from_anchor = _ranked(_matches(attributes, anchor[:, 1:], present), ranks, anchor[:, 0])
        found = self._related(found, from_anchor, centres, relation)
        found = _ranked(found, ranks, own[:, 0])
        return self._counted(found, count)

    def _compared(self, attributes: Tensor, present: Tensor) -> Tensor:
        """Take from logits of size their mean over all objects, then put "not asked" in front."""
        sizes = len(self.slots["size"])
        weight = attributes[..., :1].sigmoid() * present[..., None]
        size = attributes[..., 1 : 1 + sizes]
        mean = (weight * size).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1e-3)
        # 3.0: neither large nor small is the mean itself.
        parts = [attributes[..., :1], size - mean - 3.0, attributes[..., 1 + sizes :]]
        return torch.cat([*parts, torch.full_like(weight, CERTAIN)], dim=-1)

    def _related(self, found: Tensor, anchor: Tensor, centres: Tensor, relation: Tensor) -> Tensor:
        """Keep what stands in the relation to the anchor."""
        if not (relation > 0).any():
            return found
        away = centres[:, :, None] - centres[:, None]  # (Q, N, N, 2): of i from j
        distance = away.square().sum(-1, keepdim=True).add(1e-8).sqrt()
        pairs = self.pairs(4 * torch.cat([away, distance], dim=-1))  # (Q, N, N, 5)
        index = (relation - 1).clamp(min=0)[:, None, None, None].expand(*pairs.shape[:3], 1)
        chosen = pairs.gather(-1, index)[..., 0]  # (Q, N, N)
        share = anchor.softmax(dim=1)  # (Q, N)
        there = anchor.amax(1, keepdim=True)
        other = 1 - torch.eye(found.shape[1], device=found.device)
        beside = ((chosen.sigmoid() * other) @ share[..., None])[..., 0]
        related = found + (beside + 1e-6).log() + there
        score = (chosen @ share[..., None])[..., 0] + NEVER * share
        nearest = _first(found + NEVER * share, score) + there
        names = self.slots["relation"]
        is_nearest = (relation == 1 + names.index("nearest"))[:, None]
        kept = torch.where(is_nearest, nearest, related)
        return torch.where((relation > 0)[:, None], kept, found)

    def _counted(self, found: Tensor, count: Tensor) -> Tensor:
        """Keep all or nothing: as many as were asked for."""
        there = found.exp().sum(1)
        fits = functional.logsigmoid(self.count_sharpness * (0.5 - (there - count).abs()))
        return torch.where((count > 0)[:, None], found + fits[:, None], found)


def _matches(attributes: Tensor, asked: Tensor, present: Tensor) -> Tensor:
    """Log probability (Q, N) that candidates are objects with all attributes asked for (Q, S)."""
    last = attributes.shape[-1] - 1
    index = torch.where(asked > 0, asked, last)[:, None].expand(-1, attributes.shape[1], -1)
    logits = torch.cat([attributes[..., :1], attributes.gather(-1, index)], dim=-1)
    found = functional.logsigmoid(logits).sum(-1)
    return found.masked_fill(~present, NEVER)


def _ranked(found: Tensor, ranks: Tensor, asked: Tensor) -> Tensor:
    """Of what was found (Q, N), keep the first by the rank asked for (Q,)."""
    if not (asked > 0).any():
        return found
    score = ranks.gather(-1, asked[:, None, None].expand(-1, ranks.shape[1], 1))[..., 0]
    return torch.where((asked > 0)[:, None], _first(found, score), found)


def _first(found: Tensor, score: Tensor) -> Tensor:
    """The one that wins by score; no more likely than the likeliest before."""
    return (found + score).log_softmax(dim=1) + found.amax(1, keepdim=True)


def _head(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 96), nn.GELU(), nn.Linear(96, outputs))


def _step(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
