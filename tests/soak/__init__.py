"""Many services for a long time, with churn and faults: `make soak`, and shortly in test_soak.py."""
