"""Label Studio ML backend: Segment Anything in the labelling page."""
