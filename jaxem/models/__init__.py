"""Latent-variable models. Imports layers 0 and 1."""
