"""Other repositories by name: their configuration, their refs as this repository knows them, what follows what."""
