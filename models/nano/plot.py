"""The curves of a training run as a picture: losses above, probes below.

python -m models.nano.plot --out models/nano/work/run/curves.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from models.nano.folders import RUN


def entries(path: Path) -> list[dict[str, Any]]:
    """The entries of a `loss.jsonl`; of a step that was logged twice, the last."""
    found = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        found[entry["step"]] = entry
    return [found[step] for step in sorted(found)]


def curves(log: list[dict[str, Any]]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """For each panel, its curves as points (step, value): `loss`, then one panel a probe."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {"loss": {}}
    for entry in log:
        for name, loss in zip(("root dialogues", "sub-calls"), entry["losses"], strict=False):
            panels["loss"].setdefault(name, []).append((entry["step"], loss))
        for probe, rates in entry.get("probes", {}).items():
            panel = panels.setdefault(f"right: {probe}", {})
            for name, share in rates.items():
                panel.setdefault(name, []).append((entry["step"], share))
    return panels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--log", type=Path, default=RUN / "loss.jsonl")
    parser.add_argument("--out", type=Path, default=RUN / "curves.png")
    arguments = parser.parse_args()
    draw(curves(entries(arguments.log)), arguments.out)
    print(arguments.out)


def draw(panels: dict[str, dict[str, list[tuple[int, float]]]], out: Path) -> None:
    """Write the picture, a panel below the other."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(panels), 1, figsize=(9, 4 * len(panels)), squeeze=False)
    for (title, lines), axis in zip(panels.items(), axes[:, 0], strict=True):
        for number, (name, points) in enumerate(lines.items()):
            look = {"linestyle": "-" if number < 10 else "--", "color": f"C{number % 10}"}
            axis.plot(*zip(*points, strict=True), label=name, **look)
        axis.set(title=title, xlabel="step", yscale="log" if title == "loss" else "linear")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    main()
