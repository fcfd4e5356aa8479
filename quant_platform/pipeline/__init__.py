"""What decides a stored number: stage runner, the stages of each lab, home, writers of pages; no Dagster."""
