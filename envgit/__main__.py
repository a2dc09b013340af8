"""`python -m envgit`."""

from envgit.cli.start import main

if __name__ == "__main__":
    main()
