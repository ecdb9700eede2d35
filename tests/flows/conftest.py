"""The authorization server's fixtures, for whole flows."""

from tests.server.conftest import ada_flow, app, dr_ada, flow, pat, pat_flow

__all__ = ["ada_flow", "app", "dr_ada", "flow", "pat", "pat_flow"]
