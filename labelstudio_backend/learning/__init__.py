"""Learning from what annotators accept: examples, training in a process of its own, switching.

The paper's data engine, first stage (§4): the model is trained again on what people made with it.
"""

from labelstudio_backend.learning.collecting import Collector
from labelstudio_backend.learning.examples import ExampleStore
from labelstudio_backend.learning.training import Trainer

__all__ = ["Collector", "ExampleStore", "Trainer"]
