"""Limits of a sandbox: values, and the control groups or resource limits that enforce them."""
