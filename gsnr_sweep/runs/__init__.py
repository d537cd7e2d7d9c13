"""One run: from its config to its result, resumed where it stopped."""
