"""Callbacks for other people's training loops; each needs the library that it is named after."""
