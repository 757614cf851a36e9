"""What a design can show before it runs: worlds simulated and decided as `test` would, and how often that is right.

Nothing here decides anything about real runs.
"""
