"""Procedural scenes: images with exact masks of groups, objects and parts, made on the fly.

A scene is a function of its seed. They teach a small model what an object's border looks like in
photographs, micrographs and electron micrographs, and they serve the tests.
"""

from sam_plugins.datasets.procedural.scene import KINDS, Scene, scene

__all__ = ["KINDS", "Scene", "scene"]
