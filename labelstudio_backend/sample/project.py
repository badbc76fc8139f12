"""The sample's project: images, labels, and our backend connected."""

from __future__ import annotations

from pathlib import Path

from labelstudio_backend.client import LabelStudioClient, Project
from labelstudio_backend.sample.images import write_images

TITLE = "Segment Anything sample"
# Prompts have colours of their own labels, lighter than the masks that come of them.
LABEL_CONFIG = """
<View>
  <Style>.lsf-main-content img { image-rendering: auto }</Style>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
  <Header value="Masks"/>
  <BrushLabels name="masks" toName="image" opacity="0.6">
    <Label value="Cell" background="#12b886"/>
    <Label value="Object" background="#4c6ef5"/>
  </BrushLabels>
  <Header value="Smart points: click on an object, Alt-click on what is not part of it"/>
  <KeyPointLabels name="points" toName="image" smart="true">
    <Label value="Cell" background="#087f5b" showInline="true"/>
    <Label value="Object" background="#364fc7" showInline="true"/>
  </KeyPointLabels>
  <Header value="Smart boxes: drag around objects"/>
  <RectangleLabels name="boxes" toName="image" smart="true">
    <Label value="Cell" background="#087f5b" showInline="true"/>
    <Label value="Object" background="#364fc7" showInline="true"/>
  </RectangleLabels>
</View>
"""


def find_or_create_project(client: LabelStudioClient, folder: Path) -> Project:
    """The sample's project, with its images.

    Parameters
    ----------
    client : LabelStudioClient
    folder : Path
        Where the images are written.

    Returns
    -------
    Project
    """
    known = [project for project in client.projects() if project.title == TITLE]
    project = known[0] if known else client.create_project(TITLE, LABEL_CONFIG)
    # Without tasks it was stopped just after it had made the project.
    if not project.task_count:
        for path in write_images(folder):
            client.upload(project.id, path)
    return client.project(project.id)


def connect(client: LabelStudioClient, project: int, backend: str) -> None:
    """Connect our backend to a project, instead of those that were connected before.

    Parameters
    ----------
    client : LabelStudioClient
    project : int
    backend : str
        Its address, which may be another one than last time.
    """
    models = client.ml_backends(project)
    for model in models:
        if model.url != backend:
            client.disconnect_ml_backend(model.id)
    if not any(model.url == backend for model in models):
        client.connect_ml_backend(project, backend)
