"""What every request and answer passes: middleware, bodies, headers, problem details, who calls."""
