"""`models`: publishing, promoting, looking at and deleting versions."""
