"""The sandbox's own network: an interface that costs nothing until a program uses it, and what then carries its packets."""
