"""What is killed at work leaves nothing half-done, and goes on when it is started again."""

import os
import signal
import subprocess
import sys
import time


def start(label_studio, team, *arguments):
    """``sam-plugins label-studio preannotate`` in a process of its own."""
    environment = {
        **os.environ,
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.account.token,
    }
    command = [sys.executable, "-m", "sam_plugins", "label-studio", "preannotate"]
    command += ["--project", str(team.project), "--backend", team.backend, *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def annotated(team):
    """Tasks that have predictions; by the list, as looking at a task would have it predicted."""
    rows = team.label_studio.client.task_summaries(team.project)
    return [row.id for row in rows if row.model_versions]


def test_preannotation_goes_on_where_it_was_killed(label_studio, new_team):
    team = new_team(4)
    team.configure({"segment_everything": True, "points_per_side": 8, "label": "Object"})
    process = start(label_studio, team, "--chunk", "1")
    end = time.monotonic() + 120
    while not annotated(team):
        assert time.monotonic() < end
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = {task: team.predictions(task) for task in annotated(team)}
    assert 1 <= len(done) < len(team.tasks)
    process = start(label_studio, team, "--chunk", "1")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert [len(team.predictions(task)) for task in team.tasks] == [1, 1, 1, 1]
    for task, before in done.items():
        assert team.predictions(task) == before
