"""Run every benchmark: ``python -m benchmarks [NAME...] [--quick]``."""

import argparse
import importlib

NAMES = (
    "engine",
    "tiny_vit",
    "half_precision",
    "runtimes",
    "postprocessing",
    "lite",
    "tricks",
    "gpu",
    "training",
    "finetuning",
    "napari",
    "label_studio",
)


def main() -> None:
    """Run the named benchmarks, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    arguments = parser.parse_args()
    for name in arguments.names or NAMES:
        print(f"\n== {name}")
        importlib.import_module(f"benchmarks.{name}").main(["--quick"] if arguments.quick else [])


if __name__ == "__main__":
    main()
