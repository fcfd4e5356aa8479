"""The equity signal lab: features, setups, their replay, factors."""
