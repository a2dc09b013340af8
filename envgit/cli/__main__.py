"""`python -m envgit.cli`."""

from .main import main

main()
