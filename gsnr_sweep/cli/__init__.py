"""The command line: launching, single runs, help, and commands on a sweep."""
