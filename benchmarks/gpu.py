"""On a GPU: encoding against the rate at which it multiplies, a click, and automatic masks.

Random weights. The share is that of the measured rate of bfloat16 matrices that the encoder
reaches, counting its own multiplications alone.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import peers
from benchmarks.engine import photograph
from benchmarks.measure import save, table, timed
from sam_plugins import AutomaticSettings, Predictor, Prompt, generate
from sam_plugins.modeling import build_sam

SIDE = 8192


class Gpu:
    """A device, its clock and its memory."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.is_cuda = self.device.type == "cuda"

    def timed(self, work: Callable[[], Any], repetitions: int) -> float:
        """Median seconds until a function's work is done, not only begun."""

        def whole() -> None:
            work()
            if self.is_cuda:
                torch.cuda.synchronize(self.device)

        return timed(whole, repetitions=repetitions, warm_up=3)["seconds"]

    def peak_mb(self, work: Callable[[], Any]) -> float | None:
        """Most memory that a function's tensors take at once, in MB."""
        if not self.is_cuda:
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        work()
        return torch.cuda.max_memory_allocated(self.device) / 2**20

    def rate(self, side: int) -> float:
        """Floating-point operations a second of bfloat16 matrices of this side."""
        a = torch.randn(side, side, device=self.device, dtype=torch.bfloat16)
        return 2 * side**3 / self.timed(lambda: a @ a, 10)


def encoding(gpu: Gpu, model: str, batch: int, side: int) -> dict[str, Any]:
    """A batch of frames, and the share of the device's rate that it reaches."""
    predictor = Predictor(build_sam(model), device=str(gpu.device), precision="bfloat16")
    size = predictor.model.frame_size
    image = photograph(size * size / 1e6)
    with FlopCounterMode(display=False) as counter:
        predictor.encode_rgb([image])
    took = gpu.timed(lambda: predictor.encode_rgb([image] * batch), 5)
    reached = batch * counter.get_total_flops() / took
    return {
        "task": f"encode {batch} images with {model}",
        "seconds": took,
        "TFLOP/s": reached / 1e12,
        "share": reached / gpu.rate(side),
    }


def click(gpu: Gpu, model: str) -> dict[str, Any]:
    """One point on an embedded image, three masks of 2 megapixels."""
    predictor = Predictor(build_sam(model), device=str(gpu.device))
    (embedding,) = predictor.encode_rgb([photograph(2.16)])
    prompt = Prompt(points=np.array([[400.0, 240.0]]))
    took = gpu.timed(lambda: predictor.predict(embedding, prompt).masks, 50)
    return {"task": f"click with {model}", "seconds": took}


def automatic(gpu: Gpu, model: str, image: Any, points: int) -> list[dict[str, Any]]:
    """Automatic masks, and those of the reference from the same weights."""
    sam = build_sam(model)
    settings = AutomaticSettings(points_per_side=points, pred_iou_thresh=0.0)
    predictor = Predictor(sam, device=str(gpu.device))

    def ours() -> Any:
        predictor.cache.clear()
        return generate(predictor, image, settings=settings)

    works = {"sam-plugins": ours}
    if model in ("vit_b", "vit_l", "vit_h"):
        peers.prepare()
        from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

        with TemporaryDirectory() as folder:
            weights = Path(folder, "weights.pth")
            torch.save(sam.state_dict(), weights)
            theirs = sam_model_registry[model](checkpoint=str(weights)).to(gpu.device)
        made = SamAutomaticMaskGenerator(theirs, points_per_side=points, pred_iou_thresh=0.0)
        works["segment-anything"] = lambda: made.generate(image)
    return [
        {
            "task": f"automatic masks with {model}",
            "tool": tool,
            "seconds": gpu.timed(work, 3),
            "peak_mb": gpu.peak_mb(work),
        }
        for tool, work in works.items()
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--large", default="vit_h", help="model, for encoding")
    parser.add_argument("--small", default="vit_b", help="model, for clicks and automatic masks")
    parser.add_argument("--name", default="gpu", help="of the file in benchmarks/results")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("needs a CUDA GPU: left out")
        return
    gpu, quick = Gpu(arguments.device), arguments.quick
    image = photograph(0.1 if quick else 1500 * 2250 / 1e6)
    rows = [
        encoding(gpu, arguments.large, 2 if quick else 8, 256 if quick else SIDE),
        click(gpu, arguments.small),
        *automatic(gpu, arguments.small, image, 2 if quick else 32),
    ]
    save(arguments.name, rows)
    columns = ["task", "tool", "seconds", "TFLOP/s", "share", "peak_mb"]
    print(table(rows, columns))


if __name__ == "__main__":
    main()
