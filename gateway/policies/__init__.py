"""Decisions, as pure functions: the clock and the dice are arguments.

Rule 1: nothing here waits, reads a clock, rolls dice, or knows HTTP, Redis or a vendor.
Rule 2: a policy returns what to do; somebody on a higher floor does it.
"""
