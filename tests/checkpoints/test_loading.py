"""Loading models: by name, path and URL; recognising architectures; errors."""

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import peers
from sam_plugins.checkpoints import REGISTRY, load_model, registry, save_model, sources
from sam_plugins.checkpoints.architecture import recognise
from sam_plugins.checkpoints.fitting import build_empty
from sam_plugins.checkpoints.renaming import to_hugging_face, to_timm
from sam_plugins.errors import CheckpointError, CheckpointNotFoundError, DownloadError
from sam_plugins.modeling import CONFIGS, Sam, SamConfig, ViTConfig, build_sam

ENCODER = ViTConfig(32, 3, 2, (1,), window_size=3, mlp_ratio=2.0, out_channels=16)
SMALL = SamConfig("vit_32x3", ENCODER, frame_size=128)


@pytest.fixture(scope="module")
def model() -> Sam:
    torch.manual_seed(0)
    small = build_sam(SMALL)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return small


@pytest.fixture
def state(model: Sam) -> dict[str, Tensor]:
    return dict(model.state_dict())


def assert_same(left: Sam, right: Sam) -> None:
    """All that a model consists of, also what is in no checkpoint."""
    for kind in ("named_parameters", "named_buffers"):
        ours, theirs = dict(getattr(left, kind)()), dict(getattr(right, kind)())
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert ours[name].dtype == value.dtype
            assert ours[name].device == value.device
            assert torch.equal(ours[name], value), name


def on_meta(config: SamConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        return build_sam(config).state_dict()


# ---- architectures --------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_named_architectures_are_recognised(name: str) -> None:
    assert recognise(on_meta(CONFIGS[name])) == CONFIGS[name]


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
@pytest.mark.parametrize("frame_size", [256, 512])
def test_other_frames_are_recognised(name: str, frame_size: int) -> None:
    config = replace(CONFIGS[name], frame_size=frame_size)
    assert recognise(on_meta(config)) == config


def test_reduced_models_are_recognised() -> None:
    reduced = replace(CONFIGS["vit_h"].encoder, depth=3, global_attention=(2,))
    found = recognise(on_meta(SamConfig("reduced", reduced)))
    assert found == SamConfig("vit_1280x3", reduced)
    assert recognise(on_meta(SMALL)) == SMALL


def test_all_blocks_global_is_recognised() -> None:
    encoder = ViTConfig(32, 2, 2, (0, 1), out_channels=16)
    found = recognise(on_meta(SamConfig("all_global", encoder, frame_size=128)))
    assert found.encoder == encoder


@pytest.mark.parametrize("name", ["vit_b", "vit_t", "lite"])
def test_empty_model_is_a_whole_one_once_it_is_filled(name: str) -> None:
    normal, empty = build_sam(name), build_empty(CONFIGS[name])
    weights = {key: value.clone() for key, value in normal.state_dict().items()}
    empty.load_state_dict(weights, strict=True, assign=True)
    assert type(empty) is type(normal)
    assert not empty.training
    assert_same(empty, normal)


def test_building_empty_leaves_random_numbers_alone_afterwards() -> None:
    build_empty(SMALL)
    assert torch.empty(1000).normal_().std() > 0.5


# ---- files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state,
        lambda state: {"model": state, "optimizer": {"lr": torch.tensor(0.1)}},
        lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
        lambda state: {"state_dict": {f"sam.{k}": v for k, v in state.items()} | {"loss.w": 1}},
        to_hugging_face,
        lambda state: {"module." + k: v for k, v in to_hugging_face(state).items()},
        lambda state: {k: v.double() for k, v in state.items()},
        lambda state: {**state, "pixel_mean": torch.tensor([123.675, 116.28, 103.53])},
    ],
)
def test_files_as_they_come(
    model: Sam, state: dict[str, Tensor], tmp_path: Path, change: Any
) -> None:
    path = tmp_path / "my_cells.pth"
    torch.save(change(state), path)
    loaded = load_model(path)
    assert_same(loaded, model)
    assert loaded.config == SMALL
    assert loaded.name == "my_cells"
    assert loaded.weights_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_half_precision_file_is_used_in_float32(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({k: v.half() for k, v in state.items()}, tmp_path / "half.safetensors")
    loaded = load_model(tmp_path / "half.safetensors").state_dict()
    assert {value.dtype for value in loaded.values()} == {torch.float32}
    assert all(torch.equal(loaded[name], value.half().float()) for name, value in state.items())


def test_ways_to_name_a_file(model: Sam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_model(model, tmp_path / "a b.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in (path, str(path), "a b.safetensors", "~/a b.safetensors", path.as_uri()):
        assert_same(load_model(name), model)


def test_folder_of_hugging_face(model: Sam, state: dict[str, Tensor], tmp_path: Path) -> None:
    folder = tmp_path / "sam-small"
    folder.mkdir()
    with pytest.raises(CheckpointNotFoundError, match=r"holds no checkpoint \(model\.safetensors"):
        load_model(folder)
    stored = {name: value.clone() for name, value in to_hugging_face(state).items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load_model(folder)
    assert_same(loaded, model)
    assert loaded.name == "sam-small"


def test_official_package_writes_what_we_read(tmp_path: Path) -> None:
    peers.prepare()
    reference = pytest.importorskip("segment_anything.modeling")
    encoder = reference.ImageEncoderViT(
        img_size=128, embed_dim=32, depth=2, num_heads=2, global_attn_indexes=(1,), window_size=3,
        out_chans=16, use_rel_pos=True,
    )  # fmt: skip
    prompts = reference.PromptEncoder(
        embed_dim=16, image_embedding_size=(8, 8), input_image_size=(128, 128), mask_in_chans=16
    )
    transformer = reference.TwoWayTransformer(depth=2, embedding_dim=16, mlp_dim=2048, num_heads=8)
    decoder = reference.MaskDecoder(transformer_dim=16, transformer=transformer)
    sam = reference.Sam(encoder, prompts, decoder)
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    loaded = load_model(tmp_path / "sam.pth")
    assert loaded.state_dict().keys() == sam.state_dict().keys()
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in sam.state_dict().items())


def test_mobile_sam_with_and_without_its_classifier(tmp_path: Path) -> None:
    state = build_sam("vit_t").state_dict()
    whole = tmp_path / "mobile_sam.pt"
    torch.save(state, whole)
    assert torch.equal(
        load_model(whole).state_dict()["image_encoder.head.weight"],
        state["image_encoder.head.weight"],
    )
    unused = ("image_encoder.head.", "image_encoder.norm_head.")
    bare = {k: v for k, v in state.items() if not k.startswith(unused)}
    assert len(bare) < len(state)
    torch.save({**bare, "image_encoder.layers.1.blocks.0.attn.ab": torch.zeros(1)}, whole)
    loaded = load_model(whole)
    assert loaded.config == CONFIGS["vit_t"]
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in bare.items())


# ---- what does not fit ----------------------------------------------------------------------


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: without(s, "mask_decoder.iou_token.weight"),
            r"does not fit the architecture vit_32x3: missing mask_decoder\.iou_token\.weight",
        ),
        (lambda s: {**s, "mask_decoder.extra": torch.zeros(1)}, r"unexpected mask_decoder\.extra"),
        (
            lambda s: {**s, "mask_decoder.iou_token.weight": torch.zeros(1, 17)},
            r"mask_decoder\.iou_token\.weight \(1, 17\) instead of \(1, 16\)",
        ),
        (
            lambda s: {k: v for k, v in s.items() if "mask_downscaling" not in k},
            r"missing \S+, \S+, \S+ and 7 more",
        ),
        (to_timm, "image encoder without prompt encoder and mask decoder"),
        (
            lambda s: {k: v for k, v in s.items() if k.startswith("image_encoder.")},
            "image encoder without prompt encoder and mask decoder",
        ),
        (lambda s: without(s, "image_encoder.pos_embed"), r"lacks image_encoder\.pos_embed"),
        (
            lambda s: {**s, "image_encoder.pos_embed": torch.zeros(1, 65, 32)},
            "shapes make no ViT",
        ),
        (
            lambda s: {**s, "image_encoder.pos_embed": torch.zeros(1, 8, 9, 32)},
            "8 x 9 patches",
        ),
        (
            lambda s: without(s, "image_encoder.patch_embed.proj.weight"),
            "unknown architecture: this project knows vit_b",
        ),
        (lambda s: {"fc.weight": torch.zeros(2, 2)}, "not a Segment Anything checkpoint"),
        (lambda s: {**s, "pixel_mean": torch.tensor([0.5, 0.5, 0.5])}, "trained with pixel_mean"),
    ],
)
def test_weights_that_fit_nothing(
    state: dict[str, Tensor], tmp_path: Path, change: Any, message: str
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(change(state), path)
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_our_file_with_a_damaged_configuration(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(state, path, metadata={"format": "sam-plugins", "name": "a", "config": "{"})
    with pytest.raises(CheckpointError, match=r"a\.safetensors cannot be loaded: .*configuration"):
        load_model(path)


@pytest.mark.parametrize("name", ["vit_x", "nowhere/weights.pth", Path("vit_b"), "", "a\0b"])
def test_what_is_not_there(name: str | Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"lite, vit_b, .*path or URL") as error:
        load_model(name)
    assert repr(str(name)) in str(error.value) or name == ""
    assert isinstance(error.value, FileNotFoundError)


def test_address_of_an_unknown_kind() -> None:
    with pytest.raises(CheckpointNotFoundError, match="use https, http or file"):
        load_model("s3://bucket/weights.pth")


def test_unknown_device(model: Sam, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown device 'toaster'"):
        load_model(save_model(model, tmp_path / "a"), device="toaster")


# ---- the registry and addresses -------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine and the folder that it serves."""
    folder = tmp_path / "site"
    folder.mkdir()
    serve = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()
    thread.join()


def test_address(model: Sam, site: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = site
    path = save_model(model, folder / "model.safetensors")
    seen: list[tuple[int, int]] = []
    loaded = load_model(
        f"{url}/model.safetensors",
        cache_dir=tmp_path / "cache",
        progress=lambda *pair: seen.append(pair),
    )
    assert_same(loaded, model)
    assert loaded.weights_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_address_of_something_else_is_not_kept(site: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = site
    (folder / "model.pth").write_bytes(b"not weights at all")
    with pytest.raises(CheckpointError):
        load_model(f"{url}/model.pth", cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "models").glob("*model.pth"))
    (folder / "page.html").write_text("<html></html>")
    with pytest.raises(DownloadError, match="web page"):
        load_model(f"{url}/page.html", cache_dir=tmp_path / "cache")
    with pytest.raises(DownloadError, match="404"):
        load_model(f"{url}/nowhere.pth", cache_dir=tmp_path / "cache")


def test_name_in_the_registry(
    model: Sam,
    state: dict[str, Tensor],
    site: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, folder = site
    torch.save(state, folder / "small_abc.pth")
    content = (folder / "small_abc.pth").read_bytes()
    entry = replace(
        REGISTRY["vit_b"],
        name="small",
        url=f"{url}/small_abc.pth",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    for module in (registry, sources):
        monkeypatch.setattr(module, "REGISTRY", {"small": entry})
    monkeypatch.setenv("SAM_PLUGINS_CACHE", str(tmp_path / "cache"))
    assert not entry.present
    loaded = load_model("small")
    assert_same(loaded, model)
    assert (loaded.name, loaded.weights_hash) == ("small", entry.sha256)
    assert entry.present
    assert (tmp_path / "cache" / "models" / "small_abc.pth").read_bytes() == content
    (folder / "small_abc.pth").unlink()
    assert_same(load_model("small"), model)  # offline from now on


def test_lite_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "embedded_path", lambda name: tmp_path / name)
    with pytest.raises(CheckpointNotFoundError, match=r"'lite' ships inside the package but .*"):
        load_model("lite")
    assert not REGISTRY["lite"].present
    assert REGISTRY["lite"].size is None


def test_lite_comes_from_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    lite = build_sam("lite")
    monkeypatch.setattr(registry, "embedded_path", lambda name: tmp_path / name)
    path = save_model(lite, tmp_path / "lite.safetensors", dtype=torch.float16)
    loaded = load_model()
    assert loaded.name == "lite"
    assert loaded.weights_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}
    assert REGISTRY["lite"].present
    assert REGISTRY["lite"].size == path.stat().st_size


def test_lite_that_ships_is_whole() -> None:
    lite = load_model()
    assert lite.name == "lite"
    assert lite.config.encoder == CONFIGS["lite"].encoder
    assert all(value.isfinite().all() for value in lite.state_dict().values())
    assert (REGISTRY["lite"].size or 0) < 25_000_000  # what the package may weigh
