"""The version, said once: the build reads it from here, and so does `jaxem.__version__`."""

__version__ = "0.2.0.dev0"
