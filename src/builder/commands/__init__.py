"""What ``framewire`` can do, a command to a file: its options, and one call."""
