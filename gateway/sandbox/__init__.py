"""The four vendors on loopback, each speaking its native wire format, with a payment ledger and faults on demand.

Rule 1: nothing is imported from the gateway's floors but the domain's plainest values.
Rule 2: no code is shared with the dialects that it checks.
"""
