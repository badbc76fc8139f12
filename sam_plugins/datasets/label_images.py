"""Label images in files: TIFF with the size of a pixel, for napari, Fiji and CellProfiler; PNG."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.datasets.annotations import label_dtype
from sam_plugins.datasets.json_files import StrPath
from sam_plugins.errors import AnnotationFileError
from sam_plugins.files import atomic_path

# The names of axes before rows and columns, by how many there are.
_AXES = ("YX", "ZYX", "TZYX")
_TIFF_SUFFIXES = (".tif", ".tiff")
_MICRONS = ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre")


@dataclass(frozen=True, eq=False)
class LabelImage:
    """A label image of a file.

    Parameters
    ----------
    labels : ndarray of shape (H, W), (Z, H, W) or (T, Z, H, W), unsigned integer
        0 is background.
    scale : tuple of float, optional
        The size of a pixel along each axis, as far as the file tells it; 1 along time.
    unit : str, optional
        Of the scale.
    """

    labels: NDArray[Any]
    scale: tuple[float, ...] | None = None
    unit: str | None = None


def write_labels(
    path: StrPath,
    labels: NDArray[Any],
    *,
    scale: Sequence[float] | None = None,
    unit: str = "µm",
) -> None:
    """Write a label image as TIFF or PNG, by the path's suffix.

    Parameters
    ----------
    path : path-like
        Ends in ``.tif``, ``.tiff`` (OME-TIFF) or ``.png``.
    labels : ndarray of shape (H, W), (Z, H, W) or (T, Z, H, W), integer
        Written as uint16, or as uint32 above 65535. PNG holds (H, W) up to 65535.
    scale : sequence of float, optional
        The size of a pixel along each axis; kept in TIFF.
    unit : str
        Of the scale.

    Raises
    ------
    ValueError
        If the suffix is another one, these are no labels, or they do not fit the file.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (*_TIFF_SUFFIXES, ".png"):
        raise ValueError(f"labels are written as .tif, .tiff or .png, got {suffix!r}")
    array = _checked(labels)
    if suffix == ".png":
        _write_png(path, array)
        return
    import tifffile

    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            array,
            ome=True,
            compression="zlib",
            photometric="minisblack",
            metadata=_ome_metadata(array, scale, unit),
        )


def read_labels(path: StrPath) -> LabelImage:
    """Read a label image.

    Parameters
    ----------
    path : path-like
        TIFF of integers with up to two axes before rows and columns, with the size of a pixel if
        OME or ImageJ metadata tell it; or whatever else `sam_plugins.images.read_image` reads, of
        one page.

    Returns
    -------
    LabelImage

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AnnotationFileError
        If it is damaged, or no label image.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        if place.suffix.lower() in _TIFF_SUFFIXES:
            found = _read_tiff(place)
        else:
            from sam_plugins.images import read_image

            found = LabelImage(read_image(place))
        return LabelImage(_checked(found.labels), found.scale, found.unit)
    # Decoders meet damaged files with errors of every kind.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AnnotationFileError(f"{path} is no label image: {reason}") from error


def _checked(labels: NDArray[Any]) -> NDArray[Any]:
    """As unsigned integers of the smaller type that holds them."""
    array = np.asarray(labels)
    if array.dtype.kind not in "uib" or not 2 <= array.ndim <= len(_AXES) + 1:
        raise ValueError(
            f"labels are integers of shape (H, W), (Z, H, W) or (T, Z, H, W), got {array.dtype} "
            f"of shape {array.shape}"
        )
    if array.size and array.min() < 0:
        raise ValueError(f"labels are 0 or more, got {array.min()}")
    return array.astype(label_dtype(int(array.max()) if array.size else 0), copy=False)


def _write_png(path: StrPath, labels: NDArray[Any]) -> None:
    from PIL import Image

    if labels.ndim != 2 or labels.dtype != np.uint16:
        raise ValueError(
            f"a PNG holds a label image (H, W) up to {np.iinfo(np.uint16).max}, got labels up to "
            f"{labels.max(initial=0)} of shape {labels.shape}: use TIFF"
        )
    with atomic_path(path) as temporary:
        Image.fromarray(labels).save(temporary)


def _ome_metadata(labels: NDArray[Any], scale: Sequence[float] | None, unit: str) -> dict[str, Any]:
    # OME asks for an identifier; made of the labels, so that equal labels give equal files.
    digest = hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()
    metadata: dict[str, Any] = {
        "axes": _AXES[labels.ndim - 2],
        "UUID": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
    }
    if scale is None:
        return metadata
    sizes = [float(each) for each in scale]
    if len(sizes) != labels.ndim or not all(0 < each < float("inf") for each in sizes):
        raise ValueError(f"a scale has a positive number for each axis, got {tuple(sizes)}")
    for axis, size in zip(_AXES[labels.ndim - 2], sizes, strict=True):
        if axis != "T":
            metadata[f"PhysicalSize{axis}"] = size
            metadata[f"PhysicalSize{axis}Unit"] = unit
    return metadata


def _read_tiff(path: Path) -> LabelImage:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        axes = series.get_axes(squeeze=False)
        labels = series.asarray(squeeze=False)
        sizes, unit = _ome_sizes(tiff) or _imagej_sizes(tiff) or ({}, None)
    if "Y" not in axes or "X" not in axes:
        axes = f"{'Q' * (labels.ndim - 2)}YX"
    # Axes of length 1 say nothing, but for rows and columns.
    kept = [n for n, axis in enumerate(axes) if axis in "YX" or labels.shape[n] > 1]
    names = "".join(axes[n] for n in kept)
    if set(names) & set("SC"):
        raise ValueError(f"it has colours or channels (axes {names}); labels have one channel")
    labels = labels.reshape([labels.shape[n] for n in kept])
    scale = tuple(sizes.get(axis, 1.0) for axis in names) if sizes else None
    return LabelImage(labels, scale, unit if scale else None)


def _ome_sizes(tiff: Any) -> tuple[dict[str, float], str | None] | None:
    if not tiff.is_ome:
        return None
    from xml.etree import ElementTree

    root = ElementTree.fromstring(tiff.ome_metadata)
    pixels = root.find(".//{*}Pixels")
    told = {} if pixels is None else pixels.attrib
    sizes = {
        axis: float(told[f"PhysicalSize{axis}"]) for axis in "XYZ" if f"PhysicalSize{axis}" in told
    }
    return (sizes, told.get("PhysicalSizeXUnit", "µm")) if sizes else None


def _imagej_sizes(tiff: Any) -> tuple[dict[str, float], str | None] | None:
    if not tiff.is_imagej:
        return None
    told, tags = tiff.imagej_metadata or {}, tiff.pages[0].tags
    sizes = {}
    for axis in "XY":
        pixels, length = tags.valueof(f"{axis}Resolution", (0, 1))
        if pixels and length:
            sizes[axis] = length / pixels
    if "spacing" in told:
        sizes["Z"] = float(told["spacing"])
    unit = str(told.get("unit", "")).replace("\\u00B5", "µ")
    return (sizes, "µm" if unit in _MICRONS else unit or None) if sizes else None
