"""Half an hour of mixed load while vendors and Redis misbehave: does anything grow that should not?"""
