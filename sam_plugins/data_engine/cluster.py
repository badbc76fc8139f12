"""The same work on a ``dask.distributed`` cluster: one model a worker, lost work done again."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from distributed import Client, LocalCluster, as_completed, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from sam_plugins.data_engine.finding import Found, Recipe
from sam_plugins.data_engine.records import EngineError, SourceImage

# Images that each worker thread has been given: one in work, one waiting. More would only fill
# memory with results, and be lost with a worker.
AHEAD = 2

# Seconds to wait for a scheduler, and for a worker of it.
PATIENCE = 60


class ModelOnWorker(WorkerPlugin):
    """Loads the model once in each worker, also in those that take the place of lost ones.

    Parameters
    ----------
    name : str
        Under which the worker keeps it.
    recipe : Recipe
        What is loaded.
    """

    def __init__(self, name: str, recipe: Recipe) -> None:
        self.name = name
        self.recipe = recipe

    def setup(self, worker: object) -> None:
        """Load the model; dask calls it.

        Parameters
        ----------
        worker : distributed.Worker
            Not used.
        """
        self.finder = self.recipe.open()


def find_on_cluster(
    recipe: Recipe, images: Sequence[SourceImage], *, count: int, scheduler: str | None
) -> Iterator[Found]:
    """Find the masks of many images on a cluster.

    Parameters
    ----------
    recipe, images
        See `find_in_all`.
    count : int
        Workers of a local cluster.
    scheduler : str, optional
        A cluster that runs already, in its place.

    Yields
    ------
    Found
        As they are done. An image whose workers died again and again has an error.

    Raises
    ------
    EngineError
        If the scheduler does not answer or has no worker.
    """
    waiting = iter(images)
    with _client(count, scheduler) as client:
        name = f"sam-plugins-{secrets.token_hex(4)}"
        client.register_plugin(ModelOnWorker(name, recipe))
        try:
            threads = sum(client.nthreads().values())
            running = as_completed()
            for _, image in zip(range(AHEAD * threads), waiting, strict=False):
                running.add(client.submit(_find, name, image, key=f"{name}-{image.id}"))
            asked = {f"{name}-{image.id}": image for image in images}
            for future in running:
                image = asked.pop(future.key)
                failed = future.status != "finished"
                # A worker that dies again and again over one image: too little memory, mostly.
                yield Found(image, error=str(future.exception())) if failed else future.result()
                future.release()
                following = next(waiting, None)
                if following is not None:
                    key = f"{name}-{following.id}"
                    running.add(client.submit(_find, name, following, key=key))
        finally:
            client.unregister_worker_plugin(name)


def _find(name: str, image: SourceImage) -> Found:
    """On a worker."""
    found: Found = get_worker().plugins[name].finder.find(image)
    return found


@contextmanager
def _client(count: int, scheduler: str | None) -> Iterator[Client]:
    if scheduler is None:
        with (
            # Memory is bounded by the work itself; a limit would only stop and kill workers.
            LocalCluster(
                n_workers=count, threads_per_worker=1, memory_limit=0, dashboard_address=None,
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):  # fmt: skip
            yield client
        return
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise EngineError(f"no scheduler answers at {scheduler}: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise EngineError(f"the scheduler at {scheduler} has no worker") from error
        yield client
