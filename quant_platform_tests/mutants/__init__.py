"""Mutation testing: would the tests notice, if one place of the code were wrong?"""
