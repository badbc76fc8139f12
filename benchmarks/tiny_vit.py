"""MobileSAM's image encoder beside ``timm``'s TinyViT: the same weights, in turns in one process.

The peer is an image classifier: its last stage is kept at stride 16, as MobileSAM does, and the
neck of our model is put behind it.
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.engine import photograph
from benchmarks.measure import save, table
from sam_plugins import Predictor
from sam_plugins.modeling import build_sam

PEER, OURS, EXACT = "timm, float32", "ours, default", "ours, float32"
COLUMNS = ["tool", "seconds", "speed-up", "error"]


def peer_like(encoder: nn.Module) -> nn.Module:
    """timm's TinyViT with the weights of our encoder."""
    peers.prepare()
    from timm.models.tiny_vit import TinyVit

    peer = TinyVit(
        embed_dims=(64, 128, 160, 320),
        depths=(2, 2, 6, 2),
        num_heads=(2, 4, 5, 10),
        window_sizes=(7, 7, 14, 7),
        num_classes=0,
    )
    peer.stages[-1].downsample.conv2.conv.stride = (1, 1)
    peer.head = nn.Identity()
    wanted = peer.state_dict()
    peer.load_state_dict(
        {
            theirs: value
            for key, value in encoder.state_dict().items()
            if (theirs := peer_key(key)) in wanted
        }
    )
    return peer.eval()


def peer_key(key: str) -> str:
    """The peer's name of one of our weights."""
    key = re.sub(r"\.c\.", ".conv.", key)
    key = re.sub(r"seq\.(\d)", lambda found: f"conv{int(found[1]) // 2 + 1}", key)
    key = re.sub(
        r"layers\.(\d)\.downsample", lambda found: f"stages.{int(found[1]) + 1}.downsample", key
    )
    return key.replace("layers.", "stages.")


def ways() -> dict[str, Callable[[], Tensor]]:
    """How each tool encodes the photograph: (C, h, w)."""
    torch.manual_seed(0)
    model, image = build_sam("vit_t"), photograph(2.16)
    for module in model.image_encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    ours, exact = Predictor(model), Predictor(model, precision="float32")
    peer, neck = peer_like(model.image_encoder), model.image_encoder.neck

    @torch.inference_mode()
    def by_peer() -> Tensor:
        resized = exact.frame_of(image.shape[:2]).resize_image(image)
        batch = model.preprocess(torch.tensor(resized).permute(2, 0, 1).float())[None]
        return neck(peer.stages(peer.patch_embed(batch)))[0]

    return {
        PEER: by_peer,
        OURS: lambda: ours.encode_rgb([image])[0].features[0][0],
        EXACT: lambda: exact.encode_rgb([image])[0].features[0][0],
    }


def main(argv: list[str] | None = None) -> None:
    """Run the tools in turns, print the table, save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two turns")
    turns = 2 if parser.parse_args(argv).quick else 9
    spent: dict[str, list[float]] = {}
    answers = {}
    tools = ways()
    for turn in range(turns + 1):
        for tool, encode in tools.items():
            started = time.perf_counter()
            answers[tool] = encode()
            if turn:  # the first warms up
                spent.setdefault(tool, []).append(time.perf_counter() - started)
    truth = answers[PEER]
    rows = [
        {
            "tool": tool,
            "seconds": statistics.median(times),
            "speed-up": statistics.median(spent[PEER]) / statistics.median(times),
            "error": ((answers[tool] - truth).norm() / truth.norm()).item(),
        }
        for tool, times in spent.items()
    ]
    save("tiny_vit", rows)
    print(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
