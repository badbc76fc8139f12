"""Training of the small model, ``lite``: its recipe, its data, its objective.

``python -m sam_plugins.training.lite --data DIR --out DIR`` reruns the recipe in the package.
"""
