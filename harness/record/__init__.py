"""What is kept: job directories and their claims, commits and manifests, registrations and verdict files."""
