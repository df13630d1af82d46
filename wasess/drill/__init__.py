"""PRACTISES. Breaks a throw-away sandbox and the machine around it on purpose, and looks whether every session comes back by itself."""
