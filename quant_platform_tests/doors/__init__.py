"""Every door of the house with something broken at it: what a person sees must be one clear paragraph.

``python -m quant_platform_tests.doors`` (``make doors``) tries all inputs and prints the count; the tests try a part.
"""
