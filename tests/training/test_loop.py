"""The loop: learns, resumes exactly, several processes equal one, a bad loss stops it."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sam_plugins.errors import SamPluginsError
from sam_plugins.training.loop import LoopSettings, Run, TrainingDivergedError
from sam_plugins.training.optimizer import OptimizerSettings
from tests.training.limits import no_room_beyond
from tests.training.tiny import examples, objective

QUICK = OptimizerSettings(learning_rate=1e-3, warm_up=5, decay="cosine")


def a_run(folder, steps, *, seed=0, accumulate=1, **settings):
    loop = LoopSettings(
        steps=steps, accumulate=accumulate, clip=1.0, ema=0.8, report_every=2, checkpoint_every=2,
        **settings,
    )  # fmt: skip
    return Run(objective(seed), QUICK, loop, folder)


def same(left, right, **tolerance):
    for name, value in left.state_dict().items():
        torch.testing.assert_close(right.state_dict()[name], value, **tolerance)


def test_an_image_is_learned_by_heart(tmp_path):
    run = a_run(tmp_path, 150)
    seen = []
    run.go(lambda first: examples(first, per_batch=1), on_report=seen.append)
    assert seen[-1]["last"] > 0.95
    assert seen[-1]["loss"] < 0.2 * seen[0]["loss"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == seen


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(tmp_path, accumulate):
    whole = a_run(tmp_path / "whole", 6, accumulate=accumulate)
    whole.go(examples)
    killed = a_run(tmp_path / "killed", 6, accumulate=accumulate)

    def at_step_five(run):
        if run.step == 5:
            raise KeyboardInterrupt  # between two checkpoints
        return False

    with pytest.raises(KeyboardInterrupt):
        killed.go(examples, stop=at_step_five)
    again = a_run(tmp_path / "killed", 6, seed=9, accumulate=accumulate)
    again.go(examples)
    same(whole.objective.model, again.objective.model, rtol=0, atol=0)
    same(whole.averaged, again.averaged, rtol=0, atol=0)


def test_the_log_of_a_resumed_run_is_that_of_a_whole_one(tmp_path):
    def rows(name):
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        return [{**json.loads(line), "seconds": 0} for line in lines]

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        # What stands in a folder without a checkpoint is of a run that left nothing else.
        (tmp_path / name / "log.jsonl").write_text('{"step": 2, "loss": 9}\n')
    a_run(tmp_path / "whole", 8).go(examples)
    a_run(tmp_path / "killed", 8).go(examples, stop=lambda run: run.step == 4)
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:  # killed after the checkpoint
        file.write('{"step": 6, "loss": 1.5, "seconds": 3}\n{"step": 8, "lo')
    a_run(tmp_path / "killed", 8).go(examples)
    assert [row["step"] for row in rows("whole")] == [2, 4, 6, 8]
    assert rows("killed") == rows("whole")


KILLED = """
import os, signal, sys
from tests.training.test_loop import a_run
from tests.training.tiny import examples
folder, killed_at, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def stop(run):
    if run.step == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return False
a_run(folder, 6, seed=seed).go(examples, stop=stop)
"""


def test_a_process_that_was_killed_leaves_a_run_that_goes_on(tmp_path):
    # Each in a process of its own: what ran before in one decides how MKL shares out its sums.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(name, killed_at=-1, seed=0):
        command = [sys.executable, "-c", KILLED, str(tmp_path / name), str(killed_at), str(seed)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == (0 if killed_at < 0 else -9), done.stderr[-2000:]
        return torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)

    whole = run("whole")
    assert run("killed", killed_at=5)["step"] == 4
    again = run("killed", seed=9)
    assert again["step"] == whole["step"] == 6
    for name, value in whole["model"].items():
        torch.testing.assert_close(again["model"][name], value, rtol=0, atol=0)


def test_accumulating_batches_equals_larger_batches(tmp_path):
    small = a_run(tmp_path / "small", 3, accumulate=2)
    small.go(examples)
    large = a_run(tmp_path / "large", 3)
    large.go(lambda first: examples(first, per_batch=4))
    same(small.objective.model, large.objective.model, rtol=1e-3, atol=2e-5)


TWO = """
import os, sys, torch
from tests.training.test_loop import a_run
from tests.training.tiny import examples
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
run = a_run(sys.argv[1], 3)
assert run.fabric.world_size == 2
run.go(lambda first: examples(first, rank=rank, world=world))
"""


def test_two_processes_give_the_result_of_one(tmp_path):
    alone = a_run(tmp_path / "alone", 3)
    alone.go(examples)
    script = tmp_path / "two.py"
    script.write_text(TWO)
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        str(script), str(tmp_path / "two"),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    together = a_run(tmp_path / "two", 3)
    together.load()
    assert together.step == 3
    same(alone.objective.model, together.objective.model, rtol=1e-3, atol=2e-5)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_checkpoint(tmp_path):
    run = a_run(tmp_path, 20)

    def poisoned(first):
        for number, batch in enumerate(examples(first)):
            if number == 3:
                with torch.no_grad():
                    run.objective.model.mask_decoder.iou_token.weight.fill_(math.nan)
            yield batch

    with pytest.raises(TrainingDivergedError, match=r"nan at step 3.*bad-batch\.pt.*checkpoint"):
        run.go(poisoned)
    assert (tmp_path / "bad-batch.pt").exists()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
    assert all(torch.isfinite(value).all() for value in state["model"].values())


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    run = a_run(tmp_path, 4)
    run.go(examples, stop=lambda run: run.step == 2)
    good = (tmp_path / "checkpoint.pt").read_bytes()
    with no_room_beyond(len(good) // 2), pytest.raises(OSError, match=r"checkpoint\.pt"):
        run.go(examples)
    assert (tmp_path / "checkpoint.pt").read_bytes() == good
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "log.jsonl"]


def test_a_bad_batch_on_a_full_disk_is_still_told_of(tmp_path):
    run = a_run(tmp_path, 4)
    with torch.no_grad():
        run.objective.model.mask_decoder.iou_token.weight.fill_(math.nan)
    message = r"nan at step 0: the batch cannot be saved \(.*bad-batch\.pt"
    with no_room_beyond(1000), pytest.raises(TrainingDivergedError, match=message):
        run.go(examples)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_model_is_an_error(tmp_path):
    torch.save({"model": {}, "step": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(SamPluginsError, match="another run"):
        a_run(tmp_path, 4).go(examples)


def test_a_precision_whose_gradients_would_have_to_be_scaled_is_refused():
    with pytest.raises(ValueError, match="unknown precision '16-mixed'"):
        LoopSettings(steps=1, precision="16-mixed")
