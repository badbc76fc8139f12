"""Scenes whose objects can be told apart in words: shape, colour, tone, texture, size, place."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from sam_plugins.datasets.procedural.noise import clouds, fractal_noise, ramp
from sam_plugins.datasets.procedural.shapes import Patch, fill, outline
from sam_plugins.phrases import COLOURS, SHAPES

# Hue (in turns) of each colour that has one.
HUES = MappingProxyType(
    {
        "red": 0.0,
        "orange": 0.075,
        "yellow": 0.155,
        "green": 0.345,
        "cyan": 0.5,
        "blue": 0.62,
        "purple": 0.76,
        "pink": 0.91,
    }
)
# Shapes too thin to carry a texture.
THIN = ("ring", "cross", "rod", "filament", "crescent")
GAP = 4  # pixels between objects, at least
LEAST_AREA = 60
TRIES = 60


@dataclass(frozen=True, eq=False)
class Described:
    """One object of a scene.

    Parameters
    ----------
    mask : ndarray of shape (S, S), bool
        Where it is.
    shape, texture : str
        See `sam_plugins.phrases`.
    colour, tone : str or None
        None where no word fits.
    luminance : float
        Mean brightness, 0 to 1.
    """

    mask: NDArray[np.bool_]
    shape: str
    texture: str
    colour: str | None
    tone: str | None
    luminance: float

    @property
    def area(self) -> int:
        """In pixels."""
        return int(self.mask.sum())

    @property
    def centre(self) -> tuple[float, float]:
        """Its centre of mass: x then y, as fractions of the scene's side."""
        y, x = np.nonzero(self.mask)
        size = len(self.mask)
        return float((x.mean() + 0.5) / size), float((y.mean() + 0.5) / size)


@dataclass(frozen=True, eq=False)
class DescribedScene:
    """An image and what is on it.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        RGB.
    objects : tuple of Described
        They do not overlap.
    """

    image: NDArray[np.uint8]
    objects: tuple[Described, ...]


@dataclass(frozen=True)
class _Theme:
    """What the objects of one scene have in common, so that words have to be combined."""

    gray: bool
    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    textures: tuple[str, ...]
    radii: tuple[float, ...]
    ground: float


def described_scene(rng: Generator, size: int = 256) -> DescribedScene:
    """Make a scene of objects that can be described.

    Parameters
    ----------
    rng : Generator
        All randomness comes from it: the same state gives the same scene.
    size : int
        Side, in pixels.

    Returns
    -------
    DescribedScene
        Of 3 to 14 objects, like toys on a table or, in grey, like a micrograph.

    Examples
    --------
    >>> made = described_scene(np.random.default_rng(0), 128)
    >>> made.image.shape, len(made.objects) > 2
    ((128, 128, 3), True)
    """
    while True:
        theme = _theme(rng, size)
        canvas = _ground(rng, size, theme)
        taken = np.zeros((size, size), dtype=bool)
        objects: list[Described] = []
        wanted = int(rng.integers(4, 15))
        for _ in range(TRIES):
            if len(objects) == wanted:
                break
            made = _add(rng, canvas, taken, theme)
            if made is not None:
                objects.append(made)
        if len(objects) >= 3:
            return DescribedScene(_photographed(rng, canvas), tuple(objects))


def _theme(rng: Generator, size: int) -> _Theme:
    gray = bool(rng.random() < 0.3)

    def some(values: tuple[str, ...], least: int, most: int) -> tuple[str, ...]:
        count = int(rng.integers(least, most + 1))
        return tuple(str(each) for each in rng.choice(values, count, replace=False))

    biological = ("cell", "disc", "oval", "rod", "filament", "ring")
    few = bool(rng.random() < 0.5)
    base = size * rng.uniform(0.045, 0.075)
    radii = (base, base * rng.uniform(1.7, 2.2)) if rng.random() < 0.7 else (base * 1.3,)
    textures = (
        ("plain",)
        if gray and rng.random() < 0.5
        else some(("plain", "striped", "spotted", "checked"), 1 if few else 2, 3 if few else 4)
    )
    return _Theme(
        gray=gray,
        shapes=some(biological if gray and rng.random() < 0.7 else SHAPES, 1, 2 if few else 4),
        colours=some(COLOURS, 2 if few else 3, 3 if few else 6),
        textures=textures,
        radii=radii,
        ground=float(rng.uniform(0.35, 0.6) if gray else rng.choice([0.12, 0.3, 0.55, 0.85])),
    )


def _ground(rng: Generator, size: int, theme: _Theme) -> NDArray[np.float32]:
    """The background: nearly even, grey or faintly tinted."""
    tint = np.zeros(3) if theme.gray else rng.normal(0, 0.02, 3)
    ground = np.full((size, size, 3), theme.ground) + tint
    ground += rng.uniform(0, 0.05) * ramp(rng, size, size)[..., None]
    ground += rng.uniform(0, 0.02) * clouds(rng, size, size)[..., None]
    return ground.astype(np.float32)


def _add(
    rng: Generator, canvas: NDArray[np.float32], taken: NDArray[np.bool_], theme: _Theme
) -> Described | None:
    """Paint one object where there is room, if there is."""
    size = len(canvas)
    shape = str(rng.choice(theme.shapes))
    radius = float(rng.choice(theme.radii)) * rng.uniform(0.85, 1.15)
    patch = shape_patch(rng, size, shape, radius)
    if patch is None or patch.mask.sum() < LEAST_AREA:
        return None
    grown = np.pad(patch.mask, GAP)
    grown = ndimage.binary_dilation(grown, iterations=GAP)
    y, x = np.nonzero(grown)
    y, x = y + patch.y - GAP, x + patch.x - GAP
    if y.min() < 0 or x.min() < 0 or y.max() >= size or x.max() >= size or taken[y, x].any():
        return None
    colour, tone, value = _paint_of(rng, theme)
    texture = "plain" if shape in THIN or shape == "cell" else str(rng.choice(theme.textures))
    pixels = _textured(rng, texture, value, patch.mask.shape, radius)
    if shape == "cell":
        pixels = _with_nucleus(rng, patch.mask, pixels, theme.ground)
    soft = ndimage.gaussian_filter(np.pad(patch.mask, 3).astype(np.float32), 0.5)[3:-3, 3:-3, None]
    region = canvas[patch.window]
    region[:] = region * (1 - soft) + pixels * soft
    taken[patch.window] |= patch.mask
    mask = np.zeros((size, size), dtype=bool)
    mask[patch.window] = patch.mask
    return Described(mask, shape, texture, colour, tone, float(canvas[mask].mean()))


def shape_patch(rng: Generator, size: int, shape: str, radius: float) -> Patch | None:
    """Fill a shape at a random place.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    size : int
        Side of the canvas, in pixels.
    shape : str
        One of `SHAPES`.
    radius : float
        About half its extent, in pixels.

    Returns
    -------
    Patch or None
        None if it does not lie on the canvas.
    """
    centre = rng.uniform(0.06, 0.94, 2) * size
    if shape == "filament":
        return fill(size, _filament(rng, radius), centre)
    if shape == "cell":
        return fill(size, outline(rng, radius, "blob"), centre)
    if shape == "ring":
        return _without(fill(size, _round(1, radius), centre), rng.uniform(0.45, 0.6), (0.0, 0.0))
    if shape == "crescent":
        angle = rng.uniform(0, 2 * np.pi)
        shift = (0.55 * np.cos(angle), 0.55 * np.sin(angle))
        return _without(fill(size, _round(1, 1.1 * radius), centre), 0.85, shift)
    return fill(size, _turned(rng, _corners(rng, shape)) * radius, centre)


def _corners(rng: Generator, shape: str) -> NDArray[np.float64]:
    """Corners of a shape about one unit large, (n, 2)."""
    if shape == "disc":
        return _round(1, 1)
    if shape == "oval":
        return _round(rng.uniform(0.5, 0.62), 1.25)
    if shape == "square":
        return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.9
    if shape == "triangle":
        angle = np.arange(3) * 2 * np.pi / 3
        return 1.25 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if shape == "star":
        angle = np.arange(10) * np.pi / 5
        reach = np.where(np.arange(10) % 2, 0.55, 1.35)[:, None]
        return reach * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if shape == "cross":
        a, b = 0.35, 1.15
        return np.array(
            [[-a, -b], [a, -b], [a, -a], [b, -a], [b, a], [a, a],
             [a, b], [-a, b], [-a, a], [-b, a], [-b, -a], [-a, -a]]
        )  # fmt: skip
    if shape == "rod":
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        ends = np.stack([0.32 * np.cos(angle), 0.32 * np.sin(angle)], axis=1)
        ends[:, 0] += np.where(np.cos(angle) > 0, 1, -1) * rng.uniform(0.9, 1.3)
        return ends
    raise ValueError(f"unknown shape {shape!r}: use one of {', '.join(SHAPES)}")


def _round(ratio: float, radius: float) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return radius * np.stack([np.cos(angle), ratio * np.sin(angle)], axis=1)


def _turned(rng: Generator, points: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = rng.uniform(0, 2 * np.pi)
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _without(patch: Patch | None, share: float, shift: tuple[float, float]) -> Patch | None:
    """A disc less a disc of a share of its radius, shifted by shares of it."""
    if patch is None:
        return None
    height, width = patch.mask.shape
    y, x = np.ogrid[:height, :width]
    reach = min(height, width) / 2 - 1
    dx = (x - (width - 1) / 2) / reach - shift[0]
    dy = (y - (height - 1) / 2) / reach - shift[1]
    return patch.where(np.hypot(dx, dy) > share)


def _filament(rng: Generator, radius: float) -> NDArray[np.float64]:
    """The outline of a long bent thread, (n, 2)."""
    along = np.linspace(0, 1, 24)
    heading = rng.uniform(0, 2 * np.pi) + rng.normal(0, 1.1) * along
    heading = heading + rng.normal(0, 0.5) * np.sin(2 * np.pi * along)
    length, half = radius * rng.uniform(3.5, 5), max(2.6, 0.17 * radius)
    step = length / 23 * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    path = np.cumsum(step, axis=0)
    path -= path.mean(axis=0)
    across = half * np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    return np.concatenate([path + across, (path - across)[::-1]])


def _paint_of(rng: Generator, theme: _Theme) -> tuple[str | None, str | None, NDArray[np.float32]]:
    """Colour, tone and RGB of an object that can be seen on the background."""
    if theme.gray:
        dark = rng.random() < 0.5
        apart = rng.uniform(0.22, 0.38)
        level = theme.ground - apart if dark else theme.ground + apart
        return None, "dark" if dark else "bright", np.full(3, level, dtype=np.float32)
    for _ in range(TRIES):
        name = str(rng.choice(theme.colours))
        tone, value = _colour(rng, name)
        if np.abs(value - theme.ground).max() > 0.25:
            break
    return name, tone, value


def _colour(rng: Generator, name: str) -> tuple[str | None, NDArray[np.float32]]:
    """A tone and an RGB value that a name stands for."""
    from colorsys import hsv_to_rgb

    if name in HUES:
        dark = rng.random() < 0.4
        hue = (HUES[name] + rng.normal(0, 0.008)) % 1
        if name == "pink":
            value = hsv_to_rgb(hue, rng.uniform(0.4, 0.55), 1.0 if not dark else 0.62)
        else:
            bright = rng.uniform(0.4, 0.52) if dark else rng.uniform(0.85, 1)
            value = hsv_to_rgb(hue, rng.uniform(0.8, 1), bright)
        return "dark" if dark else "bright", np.array(value, dtype=np.float32)
    level = {"white": (0.94, 1.0), "grey": (0.42, 0.58), "black": (0.0, 0.08)}[name]
    tone = {"white": "bright", "grey": None, "black": "dark"}[name]
    return tone, np.full(3, rng.uniform(*level), dtype=np.float32)


def _textured(
    rng: Generator, texture: str, value: NDArray[np.float32], shape: tuple[int, int], radius: float
) -> NDArray[np.float32]:
    """A colour with a pattern of a second shade of it: (h, w, 3)."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    u = x * np.cos(angle) + y * np.sin(angle)
    v = y * np.cos(angle) - x * np.sin(angle)
    period = max(5.0, radius * rng.uniform(0.5, 0.7))
    if texture == "striped":
        second = np.sin(2 * np.pi * u / period) > 0.1
    elif texture == "spotted":
        second = np.hypot(u % period - period / 2, v % period - period / 2) < 0.3 * period
    elif texture == "checked":
        second = (np.sin(np.pi * u / period) > 0) ^ (np.sin(np.pi * v / period) > 0)
    else:
        second = np.zeros(shape, dtype=bool)
    shade = value * 0.45 if value.max() > 0.3 else value + 0.3
    flat = np.where(second[..., None], shade, value)
    return (flat + 0.015 * fractal_noise(rng, height, width, 6, 2)[..., None]).astype(np.float32)


def _with_nucleus(
    rng: Generator, mask: NDArray[np.bool_], pixels: NDArray[np.float32], ground: float
) -> NDArray[np.float32]:
    """A cell's body halfway to the background, its nucleus in full colour."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    nucleus = (depth > depth.max() * rng.uniform(0.45, 0.6)).astype(np.float32)
    rim = (depth <= 1.5).astype(np.float32)
    share = np.clip(0.62 + 0.38 * np.maximum(ndimage.gaussian_filter(nucleus, 0.7), rim), 0, 1)
    return (ground + share[..., None] * (pixels - ground)).astype(np.float32)


def _photographed(rng: Generator, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    sigma = rng.uniform(0.2, 0.7)
    blurred = ndimage.gaussian_filter(image, (sigma, sigma, 0), truncate=3)
    noisy = blurred + rng.uniform(0.003, 0.03) * rng.standard_normal(image.shape)
    return (noisy.clip(0, 1) * 255).astype(np.uint8)
