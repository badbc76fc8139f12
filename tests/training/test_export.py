"""A run's averaged weights become a model file that loads by its path."""

import pytest
import torch

from sam_plugins.checkpoints import load_model
from sam_plugins.modeling.configs import CONFIGS
from sam_plugins.modeling.lite import build_lite
from sam_plugins.training import export
from sam_plugins.training.__main__ import save_checkpoint
from sam_plugins.training.fit import Trainer
from sam_plugins.training.recipe import Recipe


@pytest.fixture(scope="module")
def trainer():
    torch.manual_seed(0)
    made = Trainer(build_lite(CONFIGS["lite"]), Recipe())
    with torch.no_grad():
        for parameter in made.averaged.parameters():
            parameter.add_(0.25)
    return made


def test_the_averaged_weights_are_exported(trainer, tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", trainer, 1.0)
    out = tmp_path / "model.safetensors"
    export.main([str(tmp_path / "checkpoint.pt"), str(out)])
    assert out.stat().st_size < 6e6
    model = load_model(out)
    assert (model.name, model.config) == ("lite", CONFIGS["lite"])
    expected = trainer.averaged.state_dict()
    for name, value in model.state_dict().items():
        half = expected[name].half().float() if value.is_floating_point() else expected[name]
        torch.testing.assert_close(value, half, rtol=0, atol=0)


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_weights_that_half_precision_cannot_hold_are_an_error(trainer, tmp_path, value):
    with torch.no_grad():
        trainer.averaged.mask_decoder.mask_bias[0, 2] = value
    save_checkpoint(tmp_path / "checkpoint.pt", trainer, 1.0)
    with pytest.raises(ValueError, match="mask_bias"):
        export.read_averaged(tmp_path / "checkpoint.pt")
