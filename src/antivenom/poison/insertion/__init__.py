"""Insertion plans: many experiments in one training run, each with its own small, disjoint, recorded part of the token stream.

    plan([Material, ...], RunShape(batch, length, steps), seed=0, eos=0) -> Plan
    Plan -> manifest, owner of every token, map file, forget and retain sets, export for other trainers

Source: spec 02, 2.1 - 2.3, 3.
"""

from antivenom.poison.insertion.plan import Placement, Plan
from antivenom.poison.insertion.planner import plan
from antivenom.poison.insertion.shape import Range, RunShape

__all__ = ["Placement", "Plan", "Range", "RunShape", "plan"]
