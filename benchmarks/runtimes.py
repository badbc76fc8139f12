"""Are other runtimes faster on a CPU? ViT-B's encoder and decoder in onnxruntime and OpenVINO.

Both run the files that `sam_plugins.export` writes, with random weights, in turns with this
project's predictor. The error is that of the embedding, or of the logits of a click, against
float32 here.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.engine import photograph
from benchmarks.measure import save, table
from sam_plugins import Predictor, Prompt
from sam_plugins.export import export_decoder, export_encoder
from sam_plugins.modeling import build_sam

EXACT = "ours, float32"
COLUMNS = ["part", "tool", "seconds", "error"]
Feeds = dict[str, np.ndarray]
Session = Callable[[Feeds], list[np.ndarray]]


def in_onnxruntime(path: Path) -> Session:
    """An ONNX file in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, feeds)


def in_openvino(path: Path, precision: str) -> Session:
    """An ONNX file in OpenVINO; ``precision`` is ``"f32"`` or ``"bf16"``."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    model = openvino.Core().compile_model(path, "CPU", settings)
    return lambda feeds: [np.array(value) for value in model(feeds).values()]


def ways(folder: Path) -> dict[tuple[str, str], Callable[[], Any]]:
    """What is timed, by part and tool: each gives the embedding, or the logits of a click."""
    torch.manual_seed(0)
    model, image = build_sam("vit_b"), photograph(2.16)
    half, exact = Predictor(model), Predictor(model, precision="float32")
    size, frame = image.shape[:2], exact.frame_of(image.shape[:2])
    encoder, decoder = folder / "encoder.onnx", folder / "decoder.onnx"
    export_encoder(model, encoder)
    export_decoder(model, decoder)
    runtimes = {
        "onnxruntime": in_onnxruntime,
        "OpenVINO, float32": lambda path: in_openvino(path, "f32"),
        "OpenVINO, bfloat16": lambda path: in_openvino(path, "bf16"),
    }
    embeddings = {tool: tool.encode_rgb([image])[0] for tool in (half, exact)}
    spot = np.array([[400.0, 240.0]])
    scale = np.array([frame.input_size[1] / size[1], frame.input_size[0] / size[0]])
    click = {
        "image_embeddings": embeddings[exact].features[0].numpy(),
        "point_coords": np.concatenate([spot * scale, [[0, 0]]])[None].astype(np.float32),
        "point_labels": np.array([[1, -1]], dtype=np.float32),
        "mask_input": np.zeros((1, 1, 256, 256), dtype=np.float32),
        "has_mask_input": np.zeros(1, dtype=np.float32),
        "orig_im_size": np.array(size, dtype=np.float32),
    }

    def asked(predictor: Predictor) -> Any:
        answer = predictor.predict(embeddings[predictor], Prompt(points=spot), multimask=True)
        return answer.masks, answer.low_resolution_logits

    def encoded(run: Session) -> Any:
        resized = frame.resize_image(image)
        return run({"image": resized.transpose(2, 0, 1)[None].astype(np.float32)})[0]

    made: dict[tuple[str, str], Callable[[], Any]] = {}
    for tool, predictor in {EXACT: exact, "ours, default": half}.items():
        made["encode", tool] = lambda each=predictor: each.encode_rgb([image])[0].features[0]
        made["click", tool] = lambda each=predictor: asked(each)[1]
    for tool, start in runtimes.items():
        first, second = start(encoder), start(decoder)
        made["encode", tool] = lambda run=first: encoded(run)
        made["click", tool] = lambda run=second: run(click)[2][0, 1:]
    return made


def main(argv: list[str] | None = None) -> None:
    """Run the tools in turns, print the table, save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn")
    turns = (
        {"encode": 1, "click": 5} if parser.parse_args(argv).quick else {"encode": 5, "click": 40}
    )
    with tempfile.TemporaryDirectory() as folder:
        tools = ways(Path(folder))
        spent: dict[tuple[str, str], list[float]] = {each: [] for each in tools}
        answers = {each: np.asarray(work()) for each, work in tools.items()}  # warms up, too
        for part, repetitions in turns.items():
            for _ in range(repetitions):
                for each in (each for each in tools if each[0] == part):
                    started = time.perf_counter()
                    tools[each]()
                    spent[each].append(time.perf_counter() - started)
    rows = []
    for part, tool in sorted(tools):
        truth, answer = answers[part, EXACT], answers[part, tool]
        error = np.linalg.norm(answer.reshape(truth.shape) - truth) / np.linalg.norm(truth)
        took = statistics.median(spent[part, tool])
        rows.append({"part": part, "tool": tool, "seconds": took, "error": float(error)})
    save("runtimes", rows)
    print(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
