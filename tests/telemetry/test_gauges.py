"""Gauges of several processes on one port."""

import pytest
from prometheus_client import Gauge

from ai_platform import telemetry

pytestmark = pytest.mark.quick


def test_each_gauge_says_how_the_values_of_several_processes_become_one() -> None:
    gauges = [metric for metric in vars(telemetry).values() if isinstance(metric, Gauge)]
    assert len(gauges) > 3
    assert not [gauge._name for gauge in gauges if gauge._multiprocess_mode == "all"]
