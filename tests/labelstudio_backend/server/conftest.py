"""Our server with the real model, on a port of this machine."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from labelstudio_backend.building import build
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.server import ServerSettings
from labelstudio_backend.server.run import serving

CONFIG = """<View><Image name="image" value="$image"/>
<KeyPointLabels name="points" toName="image" smart="true"><Label value="Cell"/></KeyPointLabels>
<RectangleLabels name="boxes" toName="image" smart="true"><Label value="Cell"/></RectangleLabels>
<BrushLabels name="masks" toName="image"><Label value="Cell"/></BrushLabels></View>"""


def png(array, **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG", **options)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


COINS = png(data.coins())


def point(x, y, **more):
    """A smart point, x and y in percent."""
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": ["Cell"]}
    return {
        **{"id": "p", "type": "keypointlabels", "from_name": "points", "to_name": "image"},
        **{"original_width": 384, "original_height": 303, "image_rotation": 0},
        **{"is_positive": True, "value": value, **more},
    }


def box(x, y, width, height, **more):
    """A smart rectangle, in percent."""
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
    value["rectanglelabels"] = ["Cell"]
    return {
        **{"id": "b", "type": "rectanglelabels", "from_name": "boxes", "to_name": "image"},
        **{"original_width": 384, "original_height": 303, "image_rotation": 0},
        **{"value": value, **more},
    }


def question(*regions, image=COINS, config=CONFIG, project="1", **task):
    """The body of a request to /predict."""
    return {
        "tasks": [{"id": 1, "data": {"image": image}, **task}],
        "project": project,
        "label_config": config,
        "params": {"login": None, "password": None, "context": {"result": list(regions)}},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("backend")


@pytest.fixture(scope="module")
def start(folder):
    """Start a server: gives its application and its address."""
    from contextlib import ExitStack

    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAM_PLUGINS_CACHE", str(folder / "cache"))

        def begin(fetch=None, **settings):
            settings = ServerSettings(port=0, training=False, **settings)
            application = build(
                settings, folder=folder / "state", fetch=fetch or FetchSettings(), prefetch=0
            )
            return application, stack.enter_context(serving(application))

        yield begin


@pytest.fixture(scope="module")
def server(start):
    return start()


@pytest.fixture(scope="module")
def url(server):
    return server[1]


def pixels(seed, height, width):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
