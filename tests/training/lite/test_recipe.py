"""The recipe is read from a file, and its parts become settings."""

import math

import pytest

from sam_plugins.training.lite.recipe import Part, read_recipe
from sam_plugins.training.optimizer import learning_rate_factor


def test_the_recipe_in_the_package_is_read():
    parts = read_recipe()
    assert parts[0].size < parts[-1].size
    assert [part.kind for part in parts] == ["masks"] * (len(parts) - 1) + ["calibration"]
    for part in parts:
        assert sum(part.real_weights.values()) == pytest.approx(1)
        assert part.rounds == (1, 2, 3)  # of the file's head


def test_the_head_holds_for_the_parts_that_do_not_say_otherwise(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        'clip = 2.0\nrounds = [1, 2]\n[[part]]\nname = "a"\nsteps = 3\n'
        '[[part]]\nname = "b"\nsteps = 4\nclip = 5.0\n'
    )
    first, second = read_recipe(path)
    assert (first.clip, second.clip) == (2.0, 5.0)
    assert second.rounds == (1, 2)
    assert first == Part("a", 3, clip=2.0, rounds=(1, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip = 1.0\n", "no \\[\\[part\\]\\]"),
        ('[[part]]\nname = "a"\nsteps = 1\nlearning_rat = 1\n', "learning_rat"),
        ('[[part]]\nname = "a"\n', "needs steps"),
        ('[[part]]\nname = "a"\nsteps = 1\n[[part]]\nname = "a"\nsteps = 1\n', "same name"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(tmp_path, text, message):
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_recipe(tmp_path / "wrong.toml")


def test_scaling_changes_steps_and_makes_no_more_scenes():
    part = Part("a", 100, scenes=50)
    assert (part.scaled(0.1).steps, part.scaled(0.1).scenes) == (10, 5)
    assert (part.scaled(3).steps, part.scaled(3).scenes) == (300, 50)
    assert (part.scaled(1e-9).steps, part.scaled(1e-9).scenes) == (1, 1)


def test_the_learning_rate_rises_and_falls_to_its_least():
    settings = Part("a", 100, warm_up=10, least=0.03).optimizer_settings()
    for step in (0, 4, 10, 50, 100):
        wave = 0.03 + 0.97 * (1 + math.cos(math.pi * step / 100)) / 2
        expected = min(1, (step + 1) / 10) * wave
        assert learning_rate_factor(settings, step=step, steps=100) == pytest.approx(expected)
