"""The system call filter: simulated for every number, compared with a naive reading, and installed for real."""
