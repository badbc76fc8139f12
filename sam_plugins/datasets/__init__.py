"""Labelled images: files of annotations in many formats, and scenes that are made on the fly."""
