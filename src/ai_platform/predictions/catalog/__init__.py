"""Which versions this process has loaded, and what it reports of them."""
