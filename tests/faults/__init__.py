"""The fault matrix: what DNS servers, networks and users get wrong, a row for each; docs/fault-matrix.md is made of it.

The rows are in the modules of `SECTIONS`, their words in matrix.py, the tests in test_matrix.py.
"""
