"""The life of sandboxes: what was asked for, what is recorded of them, who looks after them. The kernel's part is exec/."""
