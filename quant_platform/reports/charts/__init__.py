"""How a figure and a page are drawn, in one place."""
