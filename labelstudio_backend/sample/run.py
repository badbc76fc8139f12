"""Label Studio, the project and our backend together, until somebody stops them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labelstudio_backend.building import build
from labelstudio_backend.client import LabelStudioClient
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.sample.accounts import Account, own_account
from labelstudio_backend.sample.project import connect, find_or_create_project
from labelstudio_backend.sample.server import HOST, choose_port, running_label_studio
from labelstudio_backend.server.run import serving
from labelstudio_backend.server.settings import ServerSettings


@dataclass(frozen=True)
class Sample:
    """What runs.

    Parameters
    ----------
    url : str
        The project's page.
    label_studio, backend : str
        Addresses.
    project : int
    account : Account
    """

    url: str
    label_studio: str
    backend: str
    project: int
    account: Account


@contextmanager
def running_sample(
    command: Path,
    folder: Path,
    *,
    port: int = 8080,
    backend_port: int = 9090,
    model: str = "lite",
    device: str = "auto",
) -> Iterator[Sample]:
    """Run the sample while the block runs.

    Parameters
    ----------
    command : Path
        Label Studio's; see `find_label_studio`.
    folder : Path
        Where everything is kept from one time to the next.
    port, backend_port : int
        Where they listen; others if they are taken.
    model, device : str
        See `ServedModel`.

    Yields
    ------
    Sample

    Raises
    ------
    SamPluginsError
        If Label Studio does not start, or there is no such model.
    """
    account = own_account(folder)
    with running_label_studio(command, folder, account, port=port) as url:
        application = build(
            ServerSettings(host=HOST, port=choose_port(backend_port)),
            model=model,
            device=device,
            folder=folder / "backend",
            fetch=FetchSettings(label_studio_url=url, api_key=account.token),
        )
        with serving(application) as backend:
            client = LabelStudioClient(url, account.token)
            project = find_or_create_project(client, folder / "images").id
            connect(client, project, backend)
            yield Sample(f"{url}/projects/{project}/data", url, backend, project, account)
