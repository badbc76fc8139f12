"""The sample's project: images, labels, and our backend connected."""

from __future__ import annotations

from pathlib import Path

from labelstudio_backend.client import LabelStudioClient, Project
from labelstudio_backend.sample.images import write_images

TITLE = "Segment Anything sample"
# One row of labels for each way to make a mask, above the image, so that all are in sight. The
# controls for prompts make nothing but prompts.
LABEL_CONFIG = """
<View>
  <View style="display: flex; flex-wrap: wrap; column-gap: 2.5em; align-items: center">
    <View style="display: flex; align-items: center; gap: 0.5em">
      <Header size="5" value="Click"/>
      <KeyPointLabels name="points" toName="image" smart="true" smartOnly="true">
        <Label value="Cell" background="#087f5b"/>
        <Label value="Object" background="#364fc7"/>
      </KeyPointLabels>
    </View>
    <View style="display: flex; align-items: center; gap: 0.5em">
      <Header size="5" value="Box"/>
      <RectangleLabels name="boxes" toName="image" smart="true" smartOnly="true">
        <Label value="Cell" background="#087f5b"/>
        <Label value="Object" background="#364fc7"/>
      </RectangleLabels>
    </View>
    <View style="display: flex; align-items: center; gap: 0.5em">
      <Header size="5" value="Brush"/>
      <BrushLabels name="masks" toName="image" smart="false">
        <Label value="Cell" background="#12b886"/>
        <Label value="Object" background="#4c6ef5"/>
      </BrushLabels>
    </View>
  </View>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
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
