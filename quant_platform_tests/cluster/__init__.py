"""``make cluster-test``: Postgres, Ray workers and a worker that is killed, run for real on this machine."""
