"""Label Studio's own terms, without any server: labelling configs, prompts, regions, brush RLE."""
