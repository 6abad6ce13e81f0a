"""`samurai doctor`: looks at a deployment before its users do, and finds out what a vendor has changed.

Rule 1: nothing is bought unless the operator said so.
Rule 2: nothing here knows a vendor by name; what a vendor is like, its dialect says.
"""
