"""How networks are computed: by autograd, by compiled kernels, or all replicas as one tensor."""
