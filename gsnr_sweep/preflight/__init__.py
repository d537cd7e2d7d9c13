"""Before a launch: every point checked, its cost estimated, the plan shown."""
