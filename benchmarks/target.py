"""Figures to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .measure import Sample


@dataclass(frozen=True)
class Verdict:
    """A target as text, the figure that was measured, and whether it was reached (None: nothing to compare with)."""

    target: str
    measured: str
    reached: bool | None


@dataclass(frozen=True)
class AtMostSeconds:
    """The median of `who` is at most `seconds`."""

    seconds: float
    who: str = "envgit"

    def judge(self, samples: Sequence[Sample]) -> Verdict:
        target = f"{self.who} <= {self.seconds * 1000:.0f} ms"
        sample = _find(samples, self.who)
        if sample is None:
            return Verdict(target, "not measured", None)
        return Verdict(target, f"{sample.median * 1000:.0f} ms", sample.median <= self.seconds)


@dataclass(frozen=True)
class AtMostRatio:
    """The median of `who` is at most `ratio` times that of `peer`."""

    ratio: float
    peer: str
    who: str = "envgit"

    def judge(self, samples: Sequence[Sample]) -> Verdict:
        target = f"{self.who} <= {self.ratio:g} of {self.peer}"
        mine, peer = _find(samples, self.who), _find(samples, self.peer)
        if mine is None or peer is None:
            return Verdict(target, f"{self.who if mine is None else self.peer} not measured", None)
        ratio = mine.median / peer.median
        return Verdict(target, f"{ratio:.2f}", ratio <= self.ratio)


@dataclass(frozen=True)
class AtMostBytes:
    """No process of `who` ever had more than `bytes` resident."""

    bytes: int
    who: str = "envgit"

    def judge(self, samples: Sequence[Sample]) -> Verdict:
        target = f"{self.who} <= {self.bytes / 1e6:.0f} MB resident"
        sample = _find(samples, self.who)
        if sample is None:
            return Verdict(target, "not measured", None)
        return Verdict(target, f"{sample.peak_bytes / 1e6:.0f} MB", sample.peak_bytes <= self.bytes)


@dataclass(frozen=True)
class AtMostFigure:
    """A figure that the row measured itself while it prepared: at most `most`, in `unit`."""

    unit: str
    measured: float
    most: float

    def judge(self, samples: Sequence[Sample]) -> Verdict:
        return Verdict(f"<= {self.most:g} {self.unit}", f"{self.measured:.2f}", self.measured <= self.most)


Target = AtMostSeconds | AtMostRatio | AtMostBytes | AtMostFigure


def _find(samples: Sequence[Sample], name: str) -> Sample | None:
    return next((sample for sample in samples if sample.name == name and sample.seconds), None)
