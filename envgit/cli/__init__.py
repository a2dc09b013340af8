"""The command line: parse, call one use case, render. The only room that prints, exits or reads the environment."""
