"""What the gateway costs beside nginx and its peers, measured by the kernel: `make bench`."""
