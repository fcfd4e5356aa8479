"""The factor lab: what a cross-sectional signal says about the returns that follow, told with honest errors."""
