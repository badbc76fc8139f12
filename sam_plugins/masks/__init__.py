"""Masks: encodings, boxes, regions, polygons, label images, overlays and files."""
