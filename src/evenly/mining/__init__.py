"""Hard examples: training rows that a model gets wrong or nearly so, but whose label is probably right."""
