"""The platform in a notebook: a home to read from, frames in, frozen results out.

``import quant_platform as qp`` reaches every name of :data:`quant_platform.PUBLIC`; none is loaded before it is used.
"""
