"""The authorization server's fixtures, and the gateway's loop, for whole flows."""

from tests.gateway.conftest import runner
from tests.server.conftest import ada_flow, app, dr_ada, flow, pat, pat_flow

__all__ = ["ada_flow", "app", "dr_ada", "flow", "pat", "pat_flow", "runner"]
