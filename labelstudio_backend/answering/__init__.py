"""Answering annotators: one model, any number of projects, everything told by each request.

`Service` is the whole of it; the server (`labelstudio_backend.server`) and the subclass for the
stock SDK (`labelstudio_backend.stock`) only bring it requests.
"""

from labelstudio_backend.answering.model import ServedModel
from labelstudio_backend.answering.options import ProjectOptions
from labelstudio_backend.answering.requests import BadRequestError, PredictRequest, SetupRequest
from labelstudio_backend.answering.service import Service

__all__ = [
    "BadRequestError",
    "PredictRequest",
    "ProjectOptions",
    "ServedModel",
    "Service",
    "SetupRequest",
]
