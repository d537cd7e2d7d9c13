"""One HTML page on one or more sweeps: what was run, what came out, what it says of the paper."""
