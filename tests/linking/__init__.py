"""Tests of envgit.linking."""
