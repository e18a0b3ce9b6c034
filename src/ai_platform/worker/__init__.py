"""The worker face: Celery's processes and the task that a notification starts; the work itself is `jobs.runner`."""
