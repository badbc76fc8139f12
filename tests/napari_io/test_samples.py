"""Sample data: each opens in the viewer, offline, and is what it says."""

import socket

import numpy as np
import pytest
from scipy import ndimage

from sam_plugins.datasets.procedural.stacks import nuclei_stack

SAMPLES = {
    "coins": ((303, 384), np.uint8),
    "cell": ((660, 550), np.uint8),
    "glands": ((512, 512, 3), np.uint8),
    "generated_cells": ((512, 512), np.uint8),
    "generated_stack": ((20, 192, 192), np.uint16),
}


def no_network(*arguments):
    raise AssertionError("samples are not downloaded")


@pytest.mark.parametrize("key", SAMPLES)
def test_a_sample(viewer, monkeypatch, key):
    monkeypatch.setattr(socket.socket, "connect", no_network)
    (layer,) = viewer.open_sample("sam-plugins", key)
    shape, dtype = SAMPLES[key]
    assert (layer.data.shape, layer.data.dtype) == (shape, dtype)
    assert layer.data.std() > 5
    assert (layer.rgb, layer.ndim) == (key == "glands", 3 if key == "generated_stack" else 2)


def test_every_sample_is_tested(plugin):
    assert {each.key for each in plugin.manifest.contributions.sample_data} == set(SAMPLES)


def test_generated_samples_are_the_same_every_time(viewer):
    for key in ("generated_cells", "generated_stack"):
        (first,), (second,) = (viewer.open_sample("sam-plugins", key) for _ in range(2))
        np.testing.assert_array_equal(first.data, second.data)


def test_the_stack_is_anisotropic(viewer):
    (layer,) = viewer.open_sample("sam-plugins", "generated_stack")
    np.testing.assert_allclose(layer.scale, (1.2, 0.3, 0.3))
    assert {str(unit) for unit in layer.units} == {"micrometer"}


def test_generated_nuclei_are_whole_bright_and_apart():
    image, labels = nuclei_stack(np.random.default_rng(3))
    count = labels.max()
    assert 5 <= count <= 24
    _regions, found = ndimage.label(labels)
    assert found == count
    assert image[labels > 0].mean() > 2 * image[labels == 0].mean()
    slices = [np.ptp(np.flatnonzero((labels == n).any(axis=(1, 2)))) + 1 for n in range(1, count)]
    assert np.median(slices) >= 3
