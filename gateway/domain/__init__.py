"""The words of the house: frozen values that every floor may use.

Rule 1: nothing here imports anything of ours from above.
Rule 2: nothing here waits, reads a clock, rolls dice or touches a file.
"""
