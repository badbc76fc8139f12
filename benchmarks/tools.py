"""The same four tasks done by this project and by its peers, on the same weights and image.

Each tool gives functions that take no argument, so that they can be timed alike.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import peers

Image = NDArray[np.uint8]


class Tool(Protocol):
    """What is measured: each method does its task once."""

    def encode(self) -> Any: ...
    def click(self) -> Any: ...
    def clicks(self) -> Any: ...
    def automatic(self) -> Any: ...


def click_points(image: Image, count: int) -> NDArray[np.float32]:
    """Points spread over an image: (count, 2), x then y, in pixels."""
    rng = np.random.default_rng(0)
    height, width = image.shape[:2]
    return (rng.uniform(0.1, 0.9, (count, 2)) * (width, height)).astype(np.float32)


class Ours:
    """This project's predictor; ``precision`` as a user would choose it."""

    def __init__(
        self, weights: Path, image: Image, thresholds: tuple[float, float], precision: str
    ):
        from sam_plugins import AutomaticSettings, Predictor, load_model

        self.predictor = Predictor(load_model(weights), precision=precision)
        self.image = image
        self.settings = AutomaticSettings(
            pred_iou_thresh=thresholds[0], stability_score_thresh=thresholds[1]
        )
        self.embedding = None

    def encode(self) -> Any:
        self.embedding = self.predictor.encode_rgb([self.image])[0]
        return self.embedding.features[0]

    def click(self) -> Any:
        from sam_plugins import Prompt

        prompt = Prompt(points=click_points(self.image, 1))
        return self.predictor.predict(self.embedding, prompt).masks

    def clicks(self) -> Any:
        from sam_plugins import Prompt

        prompts = [Prompt(points=point[None]) for point in click_points(self.image, 64)]
        return [answer.masks for answer in self.predictor.predict_batch(self.embedding, prompts)]

    def streamed(self) -> Any:
        from sam_plugins import Prompt

        prompts = [Prompt(points=point[None]) for point in click_points(self.image, 64)]
        answers = self.predictor.predict_batch(self.embedding, prompts)
        return [np.count_nonzero(each.mask(i)) for each in answers for i in range(len(each))]

    def automatic(self) -> Any:
        from sam_plugins import generate

        self.predictor.cache.clear()
        return [r.mask() for r in generate(self.predictor, self.image, settings=self.settings)]


class Reference:
    """PyPI ``segment-anything`` as its users run it."""

    def __init__(self, weights: Path, image: Image, thresholds: tuple[float, float]):
        peers.prepare()
        from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry

        sam = sam_model_registry["vit_b"](checkpoint=str(weights))
        self.predictor = SamPredictor(sam)
        self.generator = SamAutomaticMaskGenerator(
            sam, pred_iou_thresh=thresholds[0], stability_score_thresh=thresholds[1]
        )
        self.image = image

    def encode(self) -> Any:
        self.predictor.set_image(self.image)
        return self.predictor.features

    def click(self) -> Any:
        return self.predictor.predict(click_points(self.image, 1), np.ones(1))[0]

    def clicks(self) -> Any:
        points = self.predictor.transform.apply_coords(
            click_points(self.image, 64), self.image.shape[:2]
        )
        labels = torch.ones(64, 1)
        masks = self.predictor.predict_torch(torch.as_tensor(points[:, None]).float(), labels)[0]
        return masks.numpy()

    def automatic(self) -> Any:
        return self.generator.generate(self.image)


class Transformers:
    """Hugging Face ``transformers``, its default attention."""

    def __init__(self, weights: Path, image: Image, thresholds: tuple[float, float]):
        peers.prepare()
        from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor
        from transformers.pipelines import MaskGenerationPipeline

        from sam_plugins.checkpoints.renaming import to_hugging_face

        state = torch.load(weights, weights_only=True)
        self.model = SamModel(SamConfig()).eval()
        self.model.load_state_dict(to_hugging_face(state), strict=False)
        self.processor = SamProcessor(SamImageProcessor())
        self.image = image
        self.thresholds = thresholds
        self.pipeline = MaskGenerationPipeline(
            model=self.model, image_processor=self.processor.image_processor
        )

    @torch.no_grad()
    def encode(self) -> Any:
        self.inputs = self.processor(self.image, return_tensors="pt")
        self.embedding = self.model.get_image_embeddings(self.inputs["pixel_values"])
        return self.embedding

    @torch.no_grad()
    def _predict(self, count: int) -> Any:
        points = click_points(self.image, count)[None, :, None]  # (1, count, 1, 2)
        inputs = self.processor(self.image, input_points=points.tolist(), return_tensors="pt")
        out = self.model(
            image_embeddings=self.embedding,
            input_points=inputs["input_points"].float(),
            multimask_output=True,
        )
        return self.processor.image_processor.post_process_masks(
            out.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
        )

    def click(self) -> Any:
        return self._predict(1)

    def clicks(self) -> Any:
        return self._predict(64)

    def automatic(self) -> Any:
        from PIL import Image as PillowImage

        return self.pipeline(
            PillowImage.fromarray(self.image),
            points_per_batch=64,
            pred_iou_thresh=self.thresholds[0],
            stability_score_thresh=self.thresholds[1],
        )


OWN_TOOLS = ("sam-plugins", "sam-plugins float32", "sam-plugins int8", "sam-plugins openvino")
TOOLS: dict[str, Callable[[Path, Image, tuple[float, float]], Tool]] = {
    "sam-plugins": lambda *a: Ours(*a, precision="auto"),
    "sam-plugins float32": lambda *a: Ours(*a, precision="float32"),
    "sam-plugins int8": lambda *a: Ours(*a, precision="int8"),
    "sam-plugins openvino": lambda *a: Ours(*a, precision="openvino"),
    "segment-anything": Reference,
    "transformers": Transformers,
}


def able_tools() -> list[str]:
    """Those that this machine can run, each precision once."""
    import importlib.util

    from sam_plugins.devices import choose_precision
    from sam_plugins.modeling.int8 import has_int8

    left_out = {
        "sam-plugins float32": choose_precision(torch.device("cpu")) == "float32",
        "sam-plugins int8": not has_int8(),
        "sam-plugins openvino": importlib.util.find_spec("openvino") is None,
        "transformers": importlib.util.find_spec("transformers") is None,
    }
    return [tool for tool in TOOLS if not left_out.get(tool)]
