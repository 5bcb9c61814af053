"""Compare backends with the reference: the zoo, a model of your own on any device, and a backend's other promises."""

from acz.api.parity.check import BackendReport, ParityReport, check_backend, check_parity
from acz.api.parity.participants import ALL_LEVELS, ONE_PROCESS, open_participants
from acz.api.parity.records import ProofReport, check_record, record_parity, show_proofs, verify_proof

__all__ = [
    "ALL_LEVELS",
    "ONE_PROCESS",
    "BackendReport",
    "ParityReport",
    "ProofReport",
    "check_backend",
    "check_parity",
    "check_record",
    "open_participants",
    "record_parity",
    "show_proofs",
    "verify_proof",
]
