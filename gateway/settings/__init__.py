"""From the YAML that people write to frozen values, with every fault reported at once, by line."""
