"""The one law of what a trade does and costs; every lab calls it, it knows no lab."""
