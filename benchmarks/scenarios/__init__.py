"""One scenario a file: how it is measured, what its page says, what it promises, and its drawing."""

from benchmarks.harness.scenario import Scenario
from benchmarks.scenarios import (
    api_memory,
    auth,
    gateway,
    job_cost,
    jobs,
    memory,
    model_memory,
    overload,
    process_memory,
    profile,
    restart,
    slow_neighbour,
    throughput,
    zoo,
)

SCENARIOS: tuple[Scenario, ...] = tuple(
    module.SCENARIO
    for module in (throughput, slow_neighbour, overload, memory, restart, profile, auth, gateway, jobs, job_cost,
                   api_memory, process_memory, model_memory, zoo)
)  # fmt: skip
