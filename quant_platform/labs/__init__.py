"""The five labs, a folder each; none knows another."""
