"""napari plugin: Segment Anything in the viewer."""
