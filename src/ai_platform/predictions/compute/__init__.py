"""Where costly models are computed: threads and processes, behind bounded queues."""
