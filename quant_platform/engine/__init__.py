"""The one law of what a trade does and costs: decisions in, trades out; every lab calls it, it knows no lab."""
