"""The web app: run a signal, read its verdict, look back, and see what the two labs say this week."""
