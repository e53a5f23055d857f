"""`make bench`: run every benchmark, each in a process of its own, and write bench.json."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

CLICK_MODELS = (
    "LR", "FM", "DeepFM", "NFM", "IPNN", "WideDeep", "DCN", "DCNv2", "xDeepFM", "FmFM", "AFNPlus", "FinalMLP",
)  # fmt: skip
# The figure's name and the module that measures it with `run() -> dict`, or, after a colon, with `run(that word)`.
BENCHMARKS = {
    "mf-train": "mf_train",
    "mf-vs-implicit": "mf_vs_implicit",
    "deepfm-train": "deepfm_train",
    "reloop-overhead": "reloop_overhead",
    **{f"cli-{what}": f"cli:{what}" for what in ("unknown-plan", "plug-in-option", "finished-night", "status", "help")},
    "collect": "collect",
    "score": "score",
    "night-overhead": "night_overhead",
    "reads-365": "reads",
    "predictor": "predictor",
    "reloop2-memory": "reloop2_memory",
    "serve-load": "serve_load",
    "real-logs": "real_logs",
    "lightgcn": "lightgcn",
    "sml-speed": "sml_speed",
    "yelp-shape": "yelp_shape",
    "yelp-memory": "yelp_memory",
    "asmg-step": "asmg_step",
    "bakeoff-movietweetings": "bakeoff_movietweetings",
    "sml-forms": "sml_forms",
    "bakeoff-clicks": "bakeoff_clicks",
    "worlds-ranking": "worlds_ranking",
    "worlds-clicks": "worlds_clicks",
    "reloop-epochs": "reloop_epochs",
    **{f"blend-{log}": f"blend:{log}" for log in ("movietweetings", "movietweetings-40", "repeat", "news", "places")},
    "gate-year": "gate_year",
    "tune-gain": "tune_gain",
    "parallel-strategies": "parallel_strategies",
    "postgres-s3": "postgres_s3",
    "scaling": "scaling",
    "growth": "growth",
    "criteo-shape": "criteo_shape",
    "gpu": "gpu",
    **{f"ctr-{model.lower()}": f"ctr_models:{model}" for model in CLICK_MODELS},
}
OUT = Path("bench.json")


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def measured(name: str, module: str) -> dict[str, object]:
    """One benchmark's result; a benchmark that fails is a result that is not met."""
    module, _, word = module.partition(":")
    call = f"run({word!r})" if word else "run()"
    code = (
        f"import json; from tests.benchmarks.{module} import run; print('RESULT ' + json.dumps({call}, default=float))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    results = [line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not results:
        return {"name": name, "value": None, "unit": "", "target": "", "met": False, "detail": done.stderr[-2000:]}
    return {**json.loads(results[-1]), "name": name}


def main(only: list[str]) -> int:
    """Run them all, or those named. Returns 1 where one is not met."""
    unknown = [name for name in only if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    results = []
    for name in only or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results.append(measured(name, BENCHMARKS[name]))
        print(
            f"  {results[-1]['value']} {results[-1]['unit']} (target {results[-1]['target']}, met: {results[-1]['met']})",
            file=sys.stderr,
        )
        OUT.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")
    print(OUT.read_text())
    return 0 if all(result["met"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
