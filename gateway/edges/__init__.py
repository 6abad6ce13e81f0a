"""Everything that touches the world: sockets, Redis, files, processes, metrics, logs.

Rule 1: an edge decides nothing; it translates, and turns foreign exceptions into our words right here.
Rule 2: nothing above this floor imports a client library.
"""
