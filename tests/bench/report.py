"""Ratios to the peers, beside the goals; a table for people and JSON for scripts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Figures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Goal:
    """`ours` costs at most `at_most` times what `peer` costs."""

    ours: str
    peer: str
    at_most: float


GOALS: Final = (
    Goal("code_exchange", "dot_code_exchange", 0.20),
    Goal("refresh", "dot_refresh", 0.15),
    Goal("introspection", "dot_introspection", 0.15),
    Goal("discovery", "dot_discovery", 0.30),
    Goal("jwks", "dot_jwks", 0.30),
    Goal("gateway_read", "dot_resource", 1 / 6),
    Goal("gateway_read", "nginx_read", 16.0),
)


def ratios(figures: Figures) -> list[dict[str, Any]]:
    """What was reached of each goal whose two sides were measured."""
    return [
        {
            "ours": goal.ours,
            "peer": goal.peer,
            "ratio": round(figures[goal.ours]["cpu_us"] / figures[goal.peer]["cpu_us"], 3),
            "goal": round(goal.at_most, 3),
        }
        for goal in GOALS
        if goal.ours in figures and goal.peer in figures
    ]


def table(figures: Figures) -> str:
    """Figures and ratios as Markdown."""
    lines = [
        "| scenario | CPU µs | web | database | lowest-highest | p50 ms | p99 ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {name} | {one['cpu_us']} | {one['web_us']} | {one['database_us']} "
        f"| {one['lowest_us']}-{one['highest_us']} | {one['p50_ms']} | {one['p99_ms']} |"
        for name, one in figures.items()
    ]
    lines += ["", "| ours | peer | ratio | goal |", "| --- | --- | ---: | ---: |"]
    lines += [
        f"| {one['ours']} | {one['peer']} | {one['ratio']} | {one['goal']} |"
        for one in ratios(figures)
    ]
    return "\n".join(lines) + "\n"
