"""Tests of envgit.signing and of the verbs that make and check signatures."""
