"""One module a family of checks. Each looks and judges, changes nothing, and says what it found as a `findings.Part`."""
