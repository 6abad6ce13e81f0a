"""Fuzzing: made-up requests and made-up vendors' replies, by the million; every answer must be a documented one."""
