"""Pre-training the image encoder without labels, as a masked autoencoder (arXiv 2111.06377).

SAM's encoder began its training from one (paper, §A). `pretrain` writes a file that
`sam_plugins.checkpoints.load_image_encoder` puts into a model with a ViT encoder.
"""

from sam_plugins.training.mae.data import list_images
from sam_plugins.training.mae.fit import PretrainSettings, pretrain
from sam_plugins.training.mae.model import MaskedAutoencoder, MaskedAutoencoderConfig

__all__ = [
    "MaskedAutoencoder",
    "MaskedAutoencoderConfig",
    "PretrainSettings",
    "list_images",
    "pretrain",
]
