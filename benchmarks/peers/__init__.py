"""The programs that envgit is measured beside, and envgit itself: one file each."""
