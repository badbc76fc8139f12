"""Many images on one process, on a local cluster, or on a cluster of many machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sam_plugins.data_engine.finding import Found, Recipe
from sam_plugins.data_engine.records import EngineError, SourceImage


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Parameters
    ----------
    count : int
        Worker processes of a local cluster; 0 is this process alone.
    scheduler : str, optional
        Address of a running ``dask.distributed`` scheduler, such as ``"tcp://node1:8786"``. Its
        workers must see the images and the model under the same paths.

    Raises
    ------
    ValueError
        If the number is negative.
    """

    count: int = 0
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"the number of workers must be 0 or more, got {self.count}")


def find_in_all(recipe: Recipe, images: Sequence[SourceImage], workers: Workers) -> Iterator[Found]:
    """Find the masks of many images.

    Parameters
    ----------
    recipe : Recipe
        How.
    images : sequence of SourceImage
        Which.
    workers : Workers
        By whom.

    Yields
    ------
    Found
        As they are done, in any order; the masks themselves do not depend on by whom they were
        found.

    Raises
    ------
    EngineError
        If there is no dask, or no scheduler at the address.
    """
    if not workers.count and workers.scheduler is None:
        finder = recipe.open()
        yield from map(finder.find, images)
        return
    try:
        from sam_plugins.data_engine.cluster import find_on_cluster
    except ImportError as error:
        raise EngineError(
            'workers need the extra "distributed": pip install "sam-plugins[distributed]", or '
            "--workers 0 to work in one process"
        ) from error
    yield from find_on_cluster(recipe, images, count=workers.count, scheduler=workers.scheduler)
