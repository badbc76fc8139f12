"""``ProjectOptions``: what a project's owner asks of the model, by its extra parameters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from labelstudio_backend.answering.requests import BadRequestError

if TYPE_CHECKING:
    from sam_plugins.automatic import AutomaticSettings

# More regions than a page of Label Studio can show.
MOST_MASKS = 1000


@dataclass(frozen=True)
class ProjectOptions:
    """Settings of one project, from "extra params" of its model's page.

    Parameters
    ----------
    segment_everything : bool
        Tasks without boxes and points get masks of everything.
    points_per_side : int, optional
        Of the grid for that; by default 16.
    pred_iou_thresh, stability_score_thresh : float, optional
        Masks below them are left out; by default the model's own.
    min_area : int
        Masks of fewer pixels are left out.
    max_masks : int
        At most so many a task, the best ones.
    label : str, optional
        Their label.
    join_box_and_points : bool
        Points that are clicked inside the last box of the same label mean the same object.

    Raises
    ------
    BadRequestError
        If a value is out of range.
    """

    segment_everything: bool = False
    points_per_side: int = 16
    pred_iou_thresh: float | None = None
    stability_score_thresh: float | None = None
    min_area: int = 0
    max_masks: int = 200
    label: str | None = None
    join_box_and_points: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for each in fields(self):
            _check_type(each.name, getattr(self, each.name), each.default)
        for name, low, high in (
            ("points_per_side", 1, 64),
            ("pred_iou_thresh", 0, 1),
            ("stability_score_thresh", 0, 1),
            ("min_area", 0, 10**9),
            ("max_masks", 1, MOST_MASKS),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise BadRequestError(f"{name} must lie in {low} .. {high}, got {value}")

    @classmethod
    def read(cls, extra_params: Any) -> ProjectOptions:
        """Read extra parameters.

        Parameters
        ----------
        extra_params : str, mapping or None
            As Label Studio sends them: JSON or an object of it.

        Returns
        -------
        ProjectOptions

        Raises
        ------
        BadRequestError
            If they cannot be read, or name something unknown.

        Examples
        --------
        >>> ProjectOptions.read('{"segment_everything": true}').segment_everything
        True
        """
        given = extra_params.strip() if isinstance(extra_params, str) else extra_params
        if isinstance(given, str) and given:
            try:
                given = json.loads(given)
            except (ValueError, RecursionError) as error:
                raise BadRequestError(f"the extra params are no JSON: {error}") from error
        if not given:
            return cls()
        names = [each.name for each in fields(cls)]
        if not isinstance(given, Mapping) or not set(given) <= set(names):
            raise BadRequestError(
                f"the extra params must be an object with some of {', '.join(names)}, "
                f"got {str(given)[:100]}"
            )
        return cls(**given)

    @property
    def digest(self) -> str:
        """Tells options apart that give other predictions; empty for the defaults."""
        # It is about prompts that people make, which no stored prediction comes from.
        plain = replace(self, join_box_and_points=False)
        if plain == ProjectOptions():
            return ""
        return hashlib.sha256(repr(plain).encode()).hexdigest()[:6]

    def automatic(self, model: Any) -> AutomaticSettings:
        """The settings with which everything is segmented.

        Parameters
        ----------
        model : Sam
            Whose own thresholds are the defaults.

        Returns
        -------
        AutomaticSettings
        """
        from sam_plugins.automatic import AutomaticSettings

        settings = AutomaticSettings.for_model(model)
        chosen = {
            "pred_iou_thresh": self.pred_iou_thresh,
            "stability_score_thresh": self.stability_score_thresh,
        }
        given: dict[str, Any] = {name: x for name, x in chosen.items() if x is not None}
        return replace(settings, points_per_side=self.points_per_side, **given)


def _check_type(name: str, value: Any, default: Any) -> None:
    if value is None and default is None:
        return
    if name == "label":
        fits = isinstance(value, str)
    elif isinstance(default, bool):
        fits = isinstance(value, bool)
    else:
        kinds = (int,) if isinstance(default, int) else (int, float)
        fits = isinstance(value, kinds) and not isinstance(value, bool)
    if not fits:
        raise BadRequestError(f"{name} cannot be {str(value)[:40]!r}")
