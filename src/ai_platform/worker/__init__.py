"""The worker face: Celery's processes and the task that a bell starts; the work itself is `jobs.runner`."""
