"""Label Studio's API as a small typed client."""

from labelstudio_backend.client.api import LabelStudioClient
from labelstudio_backend.client.connection import LabelStudioError
from labelstudio_backend.client.records import MLBackend, Prediction, Project, TaskSummary

__all__ = [
    "LabelStudioClient",
    "LabelStudioError",
    "MLBackend",
    "Prediction",
    "Project",
    "TaskSummary",
]
