"""Masks: encodings, boxes, regions, polygons, label images and overlays."""
