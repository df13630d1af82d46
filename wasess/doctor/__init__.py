"""LOOKS: what is true of a home, with or without a manager, and what is wrong with it."""
