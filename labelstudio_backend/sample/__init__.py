"""A real Label Studio with a sample project, to try the backend without a server of one's own."""

from labelstudio_backend.sample.accounts import Account, own_account
from labelstudio_backend.sample.project import find_or_create_project
from labelstudio_backend.sample.server import find_label_studio, running_label_studio

__all__ = [
    "Account",
    "find_label_studio",
    "find_or_create_project",
    "own_account",
    "running_label_studio",
]
