"""What is wrong or slow with machine, installation, repository and server, and what mends it."""
