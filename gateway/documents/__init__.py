"""What the gateway says about itself: the OpenAPI document, the reference pages, and the models with their powers.

Rule 1: pure functions from the catalogue to text or JSON-ready values; made once at start, not per request.
Rule 2: what a machine can derive is derived: from the type that validates, the closed set of errors, the catalogue.
"""
