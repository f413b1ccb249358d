"""Hostile bytes: coverage-guided (`make fuzz`), and from a corpus of real answers (test_fuzz.py)."""
