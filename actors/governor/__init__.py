"""One governor a connection: who may call its model now, who waits, who tries again."""

from actors.governor.circuit import Circuit, CircuitPolicy, CircuitStatus
from actors.governor.governors import Admission, Governors, named_connection
from actors.governor.protocol import ConnectionStatus
from actors.governor.retrying import RetryPolicy

__all__ = [
    "Admission",
    "Circuit",
    "CircuitPolicy",
    "CircuitStatus",
    "ConnectionStatus",
    "Governors",
    "RetryPolicy",
    "named_connection",
]
