"""Pages of docs/ that are made from schemas, specs and artifacts."""
