"""How others do it: plain PyTorch, torch.func, torch.compile, BackPACK, Opacus."""
