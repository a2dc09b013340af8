"""What an environment has that its declaration does not say, as edits of the declaration."""
