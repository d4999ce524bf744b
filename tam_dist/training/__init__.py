"""How the embedded models are trained."""
