"""Liu et al. 2020, Understanding Why Neural Networks Generalize Well Through GSNR of Parameters."""
