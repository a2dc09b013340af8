"""What came from elsewhere, until it is known to be sound."""

from __future__ import annotations

from envgit.quarantine.quarantine import Checked as Checked
from envgit.quarantine.quarantine import Quarantine as Quarantine
