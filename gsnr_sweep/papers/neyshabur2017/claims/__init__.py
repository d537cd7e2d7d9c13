"""What the paper says, judged by the runs of a sweep, one file a figure."""
