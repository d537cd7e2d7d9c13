"""The papers' networks, and how any network is built and initialized."""
