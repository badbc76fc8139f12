"""Running one measurement in a process of its own, and writing results down."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
# Names a folder in that of the results, for another kind of processor.
FOLDER_VARIABLE = "BENCHMARK_RESULTS"

Rows = list[dict[str, Any]]


def timed(work: Callable[[], Any], *, repetitions: int, warm_up: int = 1) -> dict[str, float]:
    """Wall and CPU time of a function: medians over repetitions, in seconds."""
    for _ in range(warm_up):
        work()
    wall, cpu = [], []
    for _ in range(repetitions):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return {"seconds": statistics.median(wall), "cpu_seconds": statistics.median(cpu)}


def resident_mb() -> float:
    """Memory of this process now, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def peak_mb() -> float:
    """Highest memory of this process so far, or since `forget_peak`, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak() -> None:
    """Begin anew with the highest memory of this process."""
    Path("/proc/self/clear_refs").write_text("5")


def in_child(module: str, arguments: list[str]) -> dict[str, Any]:
    """Run ``python -m module arguments`` and read the JSON on the last line of its output."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def machine() -> dict[str, Any]:
    """Facts about this machine that a figure depends on."""
    import numpy
    import torch

    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "instructions": _instructions(),
        "cores": len(names),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _instructions() -> str:
    """What a CPU multiplies matrices with."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    for name in ("amx_bf16", "avx512_bf16"):
        if capabilities.get(name):
            return name
    return torch.backends.cpu.get_cpu_capability().lower()


def results_of(name: str) -> Path:
    """The file of a benchmark's results, in the folder that the environment names."""
    return RESULTS / os.environ.get(FOLDER_VARIABLE, "") / f"{name}.json"


def read(name: str) -> Rows:
    """The rows of a file of results, which may lie in a folder: ``avx2/engine``."""
    rows: Rows = json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    return rows


def save(name: str, rows: list[dict[str, Any]]) -> Path:
    """Write rows and machine facts to the file of these results."""
    path = results_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")
    return path


def table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as a Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [
            f"{row[column]:.3g}" if isinstance(row.get(column), float) else str(row.get(column, ""))
            for column in columns
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
