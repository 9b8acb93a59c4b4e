"""A simulated model endpoint on loopback: paced, repeatable answers, recordings, and faults on request."""

from actors.upstream.faults import FAULT_HEADER, FAULT_MODEL_PREFIX, Fault
from actors.upstream.process import UpstreamProcess, open_upstream_process
from actors.upstream.server import Upstream
from actors.upstream.settings import UpstreamSettings
from actors.upstream.traffic import UpstreamStatistics

__all__ = [
    "FAULT_HEADER",
    "FAULT_MODEL_PREFIX",
    "Fault",
    "Upstream",
    "UpstreamProcess",
    "UpstreamSettings",
    "UpstreamStatistics",
    "open_upstream_process",
]
