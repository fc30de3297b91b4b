"""The use of codes by rank beside what text would have of the same strings, a panel for each quantizer."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMNS = 5


def use_by_rank(results: Mapping[str, Any]) -> Figure | None:
    """A log-log plot for the first seed of each arm; None where nothing was trained."""
    arms = [found for found in results["arms"] if found["use_by_rank"]]
    if not arms:
        return None
    rows = math.ceil(len(arms) / COLUMNS)
    figure = Figure(figsize=(3 * COLUMNS, 2.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).flat)
    for panel, found in zip(panels, arms, strict=False):
        for key, label, style in (("use_by_rank", "the network", "-"), ("ideal_by_rank", "fewest strings", "--")):
            shares = found["use_by_rank"][0][key]
            panel.loglog([2**n for n in range(len(shares))], shares, style, label=label)
        panel.set_title(found["label"], fontsize="small")
    for panel in panels[len(arms) :]:
        panel.set_axis_off()
    figure.axes[0].legend(fontsize="small")
    figure.supxlabel("rank")
    figure.supylabel("share of tokens")
    return figure
