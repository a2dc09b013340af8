"""One module per verb (closely related ones share a module); loaded by name from `verb_table`."""
