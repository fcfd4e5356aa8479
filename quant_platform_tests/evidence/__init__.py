"""Evidence that needs many worlds: simulations too slow for the test suite, their tables, and a fast check of those.

``make evidence`` writes ``docs/evidence``; ``test_evidence.py`` runs a few of the worlds again and compares.
"""
