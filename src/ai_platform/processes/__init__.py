"""Processes: started, watched, restarted and ended, with all that they started."""
