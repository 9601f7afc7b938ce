"""What is worth waking somebody for, as data: for Prometheus as rules, and without one by `manage.py alerts`."""
