"""The backend's own server: a small WSGI application on waitress.

None of the stock server's traps: requests do not depend on what came before, nothing is answered
with a traceback, one model serves all projects.
"""

from labelstudio_backend.server.app import Application
from labelstudio_backend.server.settings import ServerSettings

__all__ = ["Application", "ServerSettings"]
