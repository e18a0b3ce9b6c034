"""What every scenario uses: cores, servers, models, figures, results."""
