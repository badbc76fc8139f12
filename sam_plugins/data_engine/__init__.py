"""The data engine: images in, masks out, a model that becomes better on the way.

Three stages, as the paper has them (arXiv 2304.02643, §4): people click, and the model learns from
them; confident masks are filled in, and people add what is missing; the model works alone. The
state is one SQLite file, so that a run that is killed at any moment goes on where it was.
"""

from sam_plugins.data_engine.engine import Engine
from sam_plugins.data_engine.records import EngineError, SourceImage
from sam_plugins.data_engine.settings import EngineSettings

__all__ = ["Engine", "EngineError", "EngineSettings", "SourceImage"]
