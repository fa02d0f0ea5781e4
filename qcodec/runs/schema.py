"""What a run folder holds: names of its files, the grammar of ``metrics.csv``, and what a run states of itself.

``metrics.csv`` has one row for each step that was logged, the columns ``epoch`` and ``step``, and one column for each
metric: ``METRIC`` in a run of one system, ``METRIC/SYSTEM`` as a mean over seeds, ``by_seed/METRIC/SYSTEM/SEED`` for
one seed. The metric ``diverged_at`` is the update at which a system diverged, nan or empty where it did not.
``run.json`` says of the metrics what they are and holds what theory says of the data.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

LAYOUT = 2  # of the run folder; 1 had no run.json
RUN, METRICS, CONFIG, CHECKPOINTS = "run.json", "metrics.csv", "config.yaml", "checkpoints"
PICTURES, SOUNDS = "pictures", "sounds"
BY_SEED = "by_seed/"
INDEX = ("epoch", "step")
DIVERGED = "diverged_at"
Better = Literal["lower", "higher", ""]
Spread = Literal["range", "standard error"]


@dataclass(frozen=True)
class Metric:
    """A metric of a run.

    Attributes:
        name: As in ``metrics.csv``.
        title: What stands above its figure.
        axis: What stands beside the figure's axis.
        unit: Unit of the values; empty for none.
        better: Which values are better; empty where neither is.
        distortion: Whether it is the distortion that the run's bound and reference lines are about.
        drawn: Whether it has a figure of its own.
    """

    name: str
    title: str
    axis: str
    unit: str = ""
    better: Better = ""
    distortion: bool = False
    drawn: bool = True

    @property
    def label(self) -> str:
        """What stands beside an axis: its name with the unit in brackets."""
        return f"{self.axis} ({self.unit})" if self.unit else self.axis


@dataclass(frozen=True)
class Bound:
    """The rate-distortion function of the data: ``bits`` per frame, rising, and ``distortion`` per value, falling."""

    bits: tuple[float, ...]
    distortion: tuple[float, ...]


@dataclass(frozen=True)
class RunDescription:
    """What a run states of itself.

    Attributes:
        kind: Which report it gets: ``surrogate`` or ``audio``; any other word for the general one.
        metrics: Its metrics, in the order of their figures. Metrics that are logged but not named here are drawn under
            their names.
        rank: Metrics that systems are ranked by: the first of them that was logged.
        bound: R(D) of the data; ``None`` where it is not known.
        references: Distortions of schemes that need no training, by name, drawn as lines.
        spread: What lines and bands are: median and ``range`` over seeds, or mean and ``standard error``.
        made_by: Command, versions and machine of the run, by name.
    """

    kind: str
    metrics: tuple[Metric, ...] = ()
    rank: tuple[str, ...] = ()
    bound: Bound | None = None
    references: Mapping[str, float] = field(default_factory=dict)
    spread: Spread = "range"
    made_by: Mapping[str, str] = field(default_factory=dict)

    def metric(self, name: str) -> Metric:
        """Return what is stated of a metric, or one that is called by its name where nothing is."""
        plain = Metric(name, title=name, axis=name, drawn=name != DIVERGED)
        return next((metric for metric in self.metrics if metric.name == name), plain)


def write_description(folder: Path, description: RunDescription) -> None:
    """Write ``run.json`` into a run folder."""
    content = {"layout": LAYOUT, **asdict(description)}
    (folder / RUN).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_description(folder: Path) -> RunDescription:
    """Read ``run.json`` of a run folder.

    Raises:
        ValueError: For a folder without one, which is of the former layout or no run, and for a damaged one.
    """
    path = folder / RUN
    if not path.is_file():
        raise ValueError(
            f"{folder} holds no {RUN}: it is no run, or one of an earlier version of qcodec, whose results this one "
            "cannot read: run its recipe again"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("layout") != LAYOUT:
            raise ValueError(f"{path} is of another version of qcodec: use that one, or run the recipe again")
        return _checked(content)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}): run the recipe again") from None


def _checked(content: dict[str, Any]) -> RunDescription:
    """Return a description of what ``run.json`` holds; ``TypeError`` where a value is of another kind."""
    metrics = tuple(Metric(**metric) for metric in content.pop("metrics"))
    bound, rank = content.pop("bound"), tuple(content.pop("rank"))
    limits = None if bound is None else Bound(_numbers(bound["bits"]), _numbers(bound["distortion"]))
    stated = RunDescription(metrics=metrics, rank=rank, bound=limits, **content)
    words = [word for m in metrics for word in (m.name, m.title, m.axis, m.unit, m.better)]
    words += [stated.kind, *rank, *stated.references, *stated.made_by, *stated.made_by.values()]
    if not all(isinstance(word, str) for word in words) or not {m.better for m in metrics} <= set(get_args(Better)):
        raise TypeError("no word")
    if not all(isinstance(switch, bool) for m in metrics for switch in (m.drawn, m.distortion)):
        raise TypeError("no switch")
    if limits and (len(limits.bits) != len(limits.distortion) or len(limits.bits) < 2):
        raise TypeError("no curve")
    if stated.spread not in get_args(Spread):
        raise TypeError("no spread")
    _numbers([*stated.references.values()])
    return stated


def _numbers(values: Any) -> tuple[float, ...]:
    numbers = tuple(values)
    if not all(
        isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each) for each in numbers
    ):
        raise TypeError("no number")
    return tuple(map(float, numbers))
