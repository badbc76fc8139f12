"""Fitting a checkpoint's tensors to a model: same names, same shapes, float32."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sam_plugins.errors import CheckpointError
from sam_plugins.modeling.build import build_sam
from sam_plugins.modeling.configs import SamConfig
from sam_plugins.modeling.sam import Sam

# Kept by some files, computed by our modules.
_COMPUTED = re.compile(r".*\.(attention_bias_idxs|attn\.ab)")
# Of no use when predicting, and absent from some files: the classifier that MobileSAM's file holds,
# and the counters of batch normalisation.
_NEVER_USED = re.compile(r"image_encoder\.(norm_head|head)\..*|.*\.num_batches_tracked")
_SHOWN = 3


class _WithoutRandom(TorchFunctionMode):
    """Leaves new weights as they are: drawing them takes longer than reading the real ones."""

    SKIPPED = frozenset(
        {
            Tensor.normal_,
            Tensor.uniform_,
            nn.init.kaiming_normal_,
            nn.init.kaiming_uniform_,
            nn.init.normal_,
            nn.init.trunc_normal_,
            nn.init.uniform_,
            nn.init.xavier_normal_,
            nn.init.xavier_uniform_,
        }
    )

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in self.SKIPPED:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def build_empty(config: SamConfig) -> Sam:
    """Build a model whose random weights are not drawn, to be filled from a checkpoint.

    Parameters
    ----------
    config : SamConfig
        What to build.

    Returns
    -------
    Sam
        In evaluation mode. Buffers that no checkpoint holds are computed as always, which they
        would not be if the model were built on torch's meta device.
    """
    with _WithoutRandom():
        return build_sam(config)


def fit(
    state: Mapping[str, Tensor],
    model: Sam,
    *,
    source: object,
    names: Collection[str] | None = None,
) -> dict[str, Tensor]:
    """Check weights against a model's and copy them in the model's dtypes.

    Parameters
    ----------
    state : mapping of str to Tensor
        Official names; may be views of a file.
    model : Sam
        The model to fill; only its names, shapes and dtypes are looked at.
    source : object
        Named in error messages.
    names : collection of str, optional
        The weights that must be there; all of the model's if omitted.

    Returns
    -------
    dict of str to Tensor
        One tensor for each name, in memory of its own.

    Raises
    ------
    CheckpointError
        If weights are missing, left over, or of another shape, or normalise images otherwise.
    """
    expected = model.state_dict()
    wanted = [name for name in expected if names is None or name in names]
    given = _without_computed(state, expected, model, source)
    problems = [
        _listed("missing", [name for name in wanted if name not in given]),
        _listed("unexpected", [name for name in given if name not in expected]),
        _listed("of another shape", _misshapen(given, expected)),
    ]
    found = [problem for problem in problems if problem]
    if found:
        raise CheckpointError(
            f"{source} does not fit the architecture {model.config.name}: {'; '.join(found)}"
        )
    return {
        name: given[name].to(
            device="cpu",
            dtype=expected[name].dtype,
            copy=True,
            memory_format=torch.contiguous_format,
        )
        for name in wanted
    }


def _without_computed(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], model: Sam, source: object
) -> dict[str, Tensor]:
    given = {}
    for name, tensor in state.items():
        if name in ("pixel_mean", "pixel_std"):
            own = getattr(model, name).flatten()
            if tensor.numel() != 3 or not torch.allclose(tensor.float().flatten(), own, rtol=1e-3):
                raise CheckpointError(
                    f"{source} was trained with {name} {tensor.flatten().tolist()[:3]}, but this "
                    f"project normalises images with {own.tolist()}"
                )
        elif name in expected or not _COMPUTED.fullmatch(name):
            given[name] = tensor
    for name, tensor in expected.items():
        if name not in given and _NEVER_USED.fullmatch(name):
            given[name] = torch.zeros_like(tensor)
    return given


def _misshapen(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
        for name, tensor in given.items()
        if name in expected and tensor.shape != expected[name].shape
    ]


def _listed(problem: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{problem} {', '.join(names[:_SHOWN])}{more}"
