"""Supervisors and their children: what is started, stopped and started again, and by which rules (S1, S2, S3)."""
