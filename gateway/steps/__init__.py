"""The steps of a request, one file each, called in order by gateway.generation.

Rule 1: no vendor's name and no digging in JSON here.
Rule 2: every file has one public function.
"""
