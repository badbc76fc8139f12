"""Answers recorded requests by `SamBackend`, in a process whose path has the SDK or has none.

``python -m tests.labelstudio_backend.stock.replay HOW``: requests as JSON on the standard input,
answers as JSON on the output. HOW is ``server`` (the SDK's own Flask application) or ``plain`` (no
SDK: the class alone).
"""

import json
import sys


def by_server(requests):
    """Through the SDK's server, as Label Studio would."""
    from labelstudio_backend.stock._wsgi import app

    client = app.test_client()
    for request in requests:
        answer = client.open(request["path"], method=request["method"], json=request["body"])
        yield {"status": answer.status_code, "body": answer.get_json(silent=True)}


def by_class(requests):
    """Without a server, and without the SDK."""
    sys.modules["label_studio_ml"] = None  # whatever is installed
    from labelstudio_backend.stock import SamBackend
    from labelstudio_backend.stock.base import PlainMLBase

    assert issubclass(SamBackend, PlainMLBase)
    for request in requests:
        body = request["body"]
        if request["path"] != "/predict":
            yield {"status": 200, "body": None}
            continue
        backend = SamBackend(project_id=body["project"], label_config=body["label_config"])
        try:
            results = backend.predict(body["tasks"], **body["params"])
        except ValueError as error:
            yield {"status": 500, "body": {"error": str(error)}}
        else:
            yield {"status": 200, "body": {"results": results}}


if __name__ == "__main__":
    ways = {"server": by_server, "plain": by_class}
    answers = list(ways[sys.argv[1]](json.load(sys.stdin)))
    sys.stdout.write(json.dumps(answers) + "\n")
