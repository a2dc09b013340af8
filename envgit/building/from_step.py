"""`--from-step N`: everything is made again from the unit on that build and plan show as [N/...]."""

from __future__ import annotations

from envgit.building.evaluation import Evaluation, Wanted
from envgit.building.options import BuildOptions
from envgit.errors import UsageError


class FromNumber:
    """`options`: the build's, without the number; a text is found by the evaluation itself."""

    def __init__(self, options: BuildOptions) -> None:
        is_number = options.from_step.isdecimal()
        self._number = int(options.from_step[:9]) if is_number else None
        self.options = options._replace(from_step="") if is_number else options

    def apply(self, wanted: Wanted, number: int, evaluation: Evaluation) -> Wanted:
        """Return what is wanted as `number`-th; from the user's number on it has to be made. Raises UsageError when the build
        does not have so many."""
        if self._number is None:
            return wanted
        is_of_target = wanted.stage is evaluation.recipe.stages[evaluation.recipe.target]
        if self._number < 1 or (is_of_target and wanted.unit is not None):  # only then all are known
            self.check(max(evaluation.count, number))
        return wanted._replace(found=None, forced=True) if number >= self._number else wanted

    def check(self, count: int) -> None:
        """Raise UsageError when a build of `count` units does not have that one."""
        if self._number is not None and not 1 <= self._number <= count:
            raise UsageError(
                f"there is no step {self._number}: the build has {count}", hint="envgit plan lists them by number"
            )
