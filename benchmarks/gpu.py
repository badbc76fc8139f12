"""On a GPU: encoding against the rate at which it multiplies, a click, and automatic masks.

Random weights. Each row is one measure, with its goal. The share is that of the measured rate of
bfloat16 matrices that the encoder reaches, counting the multiplications alone that its definition
has; what is multiplied beyond, to be faster, does not count.
"""

import argparse
import gc
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
Weights = dict[str, Any]
REFERENCE = ("vit_b", "vit_l", "vit_h")


class Gpu:
    """A device, its clock and its memory."""

    def __init__(self, device: str, *, quick: bool = False) -> None:
        self.device = torch.device(device)
        self.is_cuda = self.device.type == "cuda"
        self._quick = quick

    def timed(self, work: Callable[[], Any], repetitions: int) -> float:
        """Median seconds until a function's work is done, not only begun."""

        def whole() -> None:
            work()
            if self.is_cuda:
                torch.cuda.synchronize(self.device)

        # The first call of a shape is plain, the second records its graph.
        repetitions, warm_up = (1, 1) if self._quick else (repetitions, 3)
        return timed(whole, repetitions=repetitions, warm_up=warm_up)["seconds"]

    def forget(self) -> None:
        """Give all memory back that nothing uses, and measure its peak from here."""
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_mb(self) -> float | None:
        """Most memory that PyTorch has taken since `forget`, in MB: also what graphs hold."""
        return torch.cuda.max_memory_reserved(self.device) / 2**20 if self.is_cuda else None

    def rate(self, side: int) -> float:
        """Floating-point operations a second of bfloat16 matrices of this side."""
        a = torch.randn(side, side, device=self.device, dtype=torch.bfloat16)
        return 2 * side**3 / self.timed(lambda: a @ a, 10)


def row(
    task: str,
    measure: str,
    value: float | None,
    *,
    least: float | None = None,
    most: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One measure, its goal, and whether it is met; None if it cannot be measured here."""
    goal, met = "", None
    if least is not None:
        goal, met = f">= {least:g}", None if value is None else value >= least
    elif most is not None:
        goal, met = f"<= {most:g}", None if value is None else value <= most
    return {"task": task, "measure": measure, "value": value, "goal": goal, "met": met, **more}


def operations(model: str) -> int:
    """Floating-point operations that encoding one frame takes by definition, computing nothing."""
    with torch.device("meta"):
        sam = build_sam(model)
        frame = torch.empty(1, 3, sam.frame_size, sam.frame_size)
    with FlopCounterMode(display=False) as counter:
        sam.encode(frame)
    return counter.get_total_flops()


def encoding(gpu: Gpu, model: str, batch: int, side: int) -> dict[str, Any]:
    """A batch of frames, and the share of the device's rate that it reaches."""
    predictor = Predictor(
        build_sam(model), device=str(gpu.device), precision="bfloat16", cuda_graphs=True
    )
    size = predictor.model.frame_size
    frames = torch.randn(batch, 3, size, size, device=gpu.device)

    def encode() -> None:
        with torch.inference_mode():
            predictor._encode(frames)

    took = gpu.timed(encode, 10)
    reached, rate = batch * operations(model) / took, gpu.rate(side)
    return row(
        f"encode {batch} images with {model}",
        "share of the rate",
        reached / rate,
        least=0.55,
        seconds=took,
        rate=rate,
    )


def click(gpu: Gpu, model: str) -> dict[str, Any]:
    """One point on an embedded image, three masks of 2 megapixels."""
    predictor = Predictor(build_sam(model), device=str(gpu.device), cuda_graphs=True)
    (embedding,) = predictor.encode_rgb([photograph(2.16)])
    prompt = Prompt(points=np.array([[400.0, 240.0]]))
    took = gpu.timed(lambda: predictor.predict(embedding, prompt).masks, 50)
    return row(f"click with {model}", "seconds", took, most=0.003)


def automatic(gpu: Gpu, model: str, image: Any, points: int) -> list[dict[str, Any]]:
    """Automatic masks, and those of the reference from the same weights."""
    task = f"automatic masks with {model}"
    weights = build_sam(model).state_dict()
    seconds, peak = _measured(gpu, lambda: _ours(gpu, model, weights, image, points))
    rows = [row(task, "seconds", seconds, most=0.15, peak_mb=peak)]
    if model in REFERENCE:
        theirs = _measured(gpu, lambda: _theirs(gpu, model, weights, image, points))
        rows.append(row(f"{task}, reference", "seconds", theirs[0], peak_mb=theirs[1]))
        rows += compared(task, (seconds, peak), theirs)
    return rows


def compared(
    task: str, ours: tuple[float, float | None], theirs: tuple[float, float | None]
) -> list[dict[str, Any]]:
    """The reference's seconds over ours, and our peak of memory over the reference's."""
    memory = None if ours[1] is None or theirs[1] is None else ours[1] / theirs[1]
    return [
        row(task, "times faster", theirs[0] / ours[0], least=10),
        row(task, "share of the reference's memory", memory, most=0.25),
    ]


def _measured(gpu: Gpu, make: Callable[[], Callable[[], Any]]) -> tuple[float, float | None]:
    """Seconds and peak of memory of a function, with the model that is made for it."""
    gpu.forget()
    work = make()
    return gpu.timed(work, 3), gpu.peak_mb()


def _ours(gpu: Gpu, model: str, weights: Weights, image: Any, points: int) -> Callable[[], Any]:
    sam = build_sam(model)
    sam.load_state_dict(weights)
    predictor = Predictor(sam, device=str(gpu.device), cuda_graphs=True)
    settings = AutomaticSettings(points_per_side=points, pred_iou_thresh=0.0)

    def work() -> Any:
        predictor.cache.clear()
        return generate(predictor, image, settings=settings)

    return work


def _theirs(gpu: Gpu, model: str, weights: Weights, image: Any, points: int) -> Callable[[], Any]:
    peers.prepare()
    from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

    with TemporaryDirectory() as folder:
        path = Path(folder, "weights.pth")
        torch.save(weights, path)
        sam = sam_model_registry[model](checkpoint=str(path)).to(gpu.device)
    made = SamAutomaticMaskGenerator(sam, points_per_side=points, pred_iou_thresh=0.0)
    return lambda: made.generate(image)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, once each")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--large", help="model, for encoding; vit_h, with --quick vit_b")
    parser.add_argument("--small", default="vit_b", help="model, for clicks and automatic masks")
    parser.add_argument("--name", default="gpu", help="of the file in benchmarks/results")
    arguments = parser.parse_args(argv)
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print("needs a CUDA GPU: left out")
        return
    quick = arguments.quick
    gpu = Gpu(arguments.device, quick=quick)
    large = arguments.large or ("vit_b" if quick else "vit_h")
    image = photograph(0.1 if quick else 1500 * 2250 / 1e6)
    rows = [
        encoding(gpu, large, 2 if quick else 8, 256 if quick else SIDE),
        click(gpu, arguments.small),
        *automatic(gpu, arguments.small, image, 2 if quick else 32),
    ]
    save(arguments.name, rows)
    print(table(rows, ["task", "measure", "value", "goal", "met", "seconds", "peak_mb"]))


if __name__ == "__main__":
    main()
