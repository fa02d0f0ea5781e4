"""A W&B workspace and a report of runs, as JSON, made without an account.

``wandb-workspaces`` (the optional extra ``dashboard``) writes the panels; this says which there are, from what the runs
state of their metrics.
"""

import json
import warnings
from collections.abc import Sequence
from typing import Any

from qcodec.runs.read import Run
from qcodec.runs.schema import DIVERGED, Metric

GROUPED = {"groupby": "system", "groupby_aggfunc": "median", "groupby_rangefunc": "minmax"}


def workspace(
    runs: Sequence[Run], *, name: str, media: Sequence[str] = (), entity: str = "", project: str = "qcodec"
) -> Any:
    """Build the workspace: a panel for each metric of the runs, with bands over seeds, and one for each kind of media.

    Args:
        runs: What the panels are chosen for.
        name: Name of the workspace.
        media: Names under which sound and pictures are logged.
        entity: W&B user or team; none is asked for where it is empty.
        project: W&B project.

    Raises:
        ValueError: Where the extra ``dashboard`` is not installed, or there is no run.
    """
    workspaces, reports = _packages()
    if not runs:
        raise ValueError("there is no run to build a dashboard of: name one or more run folders")
    sections = [
        workspaces.Section(name="Curves over training", panels=_curves(reports, runs), is_open=True),
        workspaces.Section(name="Rate and distortion", panels=_scatters(reports, runs), is_open=True),
        workspaces.Section(name="Sound and pictures", panels=_media(reports, media), is_open=True),
    ]
    settings = workspaces.RunsetSettings(groupby=[workspaces.Config("system")]) if _members(runs) else None
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[section for section in sections if section.panels],
        **({"runset_settings": settings} if settings else {}),
    )


def report(runs: Sequence[Run], *, title: str) -> Any:
    """Build the W&B report with the panels of the papers' figures: distortion and mean absolute embedding.

    Raises:
        ValueError: As ``workspace`` does.
    """
    _, reports = _packages()
    drawn = [each for each in _metrics(runs) if each.distortion or each.name in ("mel", "ma_e")]
    panels = [_line(reports, metric, _members(runs)) for metric in drawn]
    text = "Medians over seeds with bands from the least to the greatest, as in Figures 3 to 8 of arXiv 2502.04770."
    blocks = [reports.P(text), reports.PanelGrid(runsets=[reports.Runset()], panels=panels)]
    return reports.Report(project="", entity="", title=title, blocks=blocks)


def as_json(built: Any) -> str:
    """Return a workspace or a report as W&B stores it; nothing is asked of its server."""
    text = built._to_model().model_dump_json(by_alias=True, exclude_none=True)
    return json.dumps(json.loads(text), indent=1) + "\n"


def _packages() -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it is written for pydantic 1 as well
            import wandb_workspaces.reports.v2 as reports
            import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise ValueError(f"dashboards need wandb-workspaces ({error}): pip install 'qcodec[dashboard]'") from error
    return workspaces, reports


def _members(runs: Sequence[Run]) -> bool:
    """Return whether each system and seed has a W&B run of its own."""
    return any(series.seeds for run in runs for by_system in run.metrics.values() for series in by_system.values())


def _metrics(runs: Sequence[Run]) -> list[Metric]:
    found = {metric.name: metric for run in runs for metric in run.described if metric.name in run.metrics}
    return [metric for name, metric in found.items() if name != DIVERGED]


def _line(reports: Any, metric: Metric, grouped: bool) -> Any:
    bands = {**GROUPED, "groupby": reports.Config(GROUPED["groupby"])} if grouped else {}
    return reports.LinePlot(
        title=metric.title, title_y=metric.label, x="epoch" if grouped else "trainer/global_step", y=[metric.name],
        log_y=metric.distortion, **bands,
    )  # fmt: skip


def _curves(reports: Any, runs: Sequence[Run]) -> list[Any]:
    return [_line(reports, metric, _members(runs)) for metric in _metrics(runs)]


def _scatters(reports: Any, runs: Sequence[Run]) -> list[Any]:
    """Return distortion against rate, where runs logged both."""
    metrics = _metrics(runs)
    rates = [each.name for each in metrics if each.name in ("entropy_bits", "bits_per_frame", "kbps", "val_kbps")]
    losses = [each.name for each in metrics if each.distortion or each.name in ("mel", "val_mel")]
    return [
        reports.ScatterPlot(
            title=f"{loss} against {rate}", x=reports.SummaryMetric(rate), y=reports.SummaryMetric(loss)
        )
        for loss in losses[:1]
        for rate in rates[:1]
    ]


def _media(reports: Any, media: Sequence[str]) -> list[Any]:
    return [reports.MediaBrowser(title=key, media_keys=[key]) for key in media]
