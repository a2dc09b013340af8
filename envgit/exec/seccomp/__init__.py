"""Which system calls programs inside may make: the policy, its compiler, and the compiled default. Start with `filter`."""
